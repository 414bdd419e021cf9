/** The signs of this app: 24 by 24, drawn by us. */
import type { ReactNode } from "react";

const PATHS = {
  desk: "M4 6.5h16v10.5H4zM9 20.5h6M12 17v3.5M8 11.5h2l1.5-2.5 2 5 1.2-2.5H16",
  bell: "M12 4a5.5 5.5 0 0 1 5.5 5.5c0 5 2 6.5 2 6.5h-15s2-1.5 2-6.5A5.5 5.5 0 0 1 12 4zM10 19a2 2 0 0 0 4 0",
  chart: "M4 20h16M7 20v-6M12 20V6M17 20v-9",
  person: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20.5a7.5 7.5 0 0 1 15 0",
  back: "M15 5l-7 7 7 7",
  record: "M7 3.5h7l4 4v13H7zM14 3.5v4h4M10 12h5M10 15.5h5",
  flash: "M13 3 5.5 13.5H12L11 21l7.5-10.5H12z",
  gift: "M4 9h16v4H4zM6 13v7.5h12V13M12 9v11.5M12 9S7.5 9 7.5 6.3C7.5 4 11 3.5 12 9zM12 9s4.5 0 4.5-2.7C16.5 4 13 3.5 12 9z",
  check: "M5 12.5l4.5 4.5L19 7",
  undo: "M5 9h9a5 5 0 0 1 0 10H9M5 9l4-4M5 9l4 4",
  wide: "M4 9V4h5M20 15v5h-5M4 4l6 6M20 20l-6-6",
  alert: "M12 4 2.8 19.5h18.4zM12 10v4.5M12 17v.4",
  lock: "M6 10.5h12v9.5H6zM8.5 10.5V8a3.5 3.5 0 0 1 7 0v2.5",
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6z",
  star: "M12 3.5l2.6 5.4 5.9.8-4.3 4.1 1 5.9-5.2-2.8-5.2 2.8 1-5.9L3.5 9.7l5.9-.8z",
  share: "M12 15V4M8 7.5 12 3.5l4 4M5.5 12v8h13v-8",
  search: "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM15.3 15.3 20.5 20.5",
  cross: "M6 6l12 12M18 6L6 18",
  refer: "M4 7h11a4 4 0 0 1 4 4v1M12 3.5 15.5 7 12 10.5M20 17H9a4 4 0 0 1-4-4M12 20.5 8.5 17l3.5-3.5",
  calendar: "M4.5 6h15v14h-15zM4.5 10h15M8.5 3.5v4M15.5 3.5v4",
  more: "M4.9 12a.9.9 0 1 0 1.8 0 .9.9 0 1 0-1.8 0zM11.1 12a.9.9 0 1 0 1.8 0 .9.9 0 1 0-1.8 0zM17.3 12a.9.9 0 1 0 1.8 0 .9.9 0 1 0-1.8 0z",
  keys: "M3.5 6.5h17v11h-17zM7 10.1v-.2M10.3 10.1v-.2M13.7 10.1v-.2M17 10.1v-.2M8 14h8",
  note: "M5 4.5h14v10l-5 5H5zM14 19.5v-5h5M8.5 9h7M8.5 12.5h4",
} as const;

export type SignName = keyof typeof PATHS;

export function Sign({ name, full = false }: { name: SignName; full?: boolean }): ReactNode {
  return (
    <svg className="yz-icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} fill={full ? "currentColor" : "none"} stroke="currentColor" strokeWidth="1.7" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}
