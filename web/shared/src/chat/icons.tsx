/** The signs of the conversation: 24 by 24, drawn by us, coloured by their text. */
import type { ReactNode } from "react";

const PATHS = {
  image: "M4 5h16v14H4zM4 16l4.5-5 4 4 3-3L20 16M15.5 9.2a.8.8 0 1 0 0-.1",
  voice: "M12 3a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3zM6 11a6 6 0 0 0 12 0M12 17v4M9 21h6",
  send: "M4 12 20 4l-4 16-4.5-6.5zM11.5 13.5 20 4",
  close: "M6 6l12 12M18 6 6 18",
  play: "M8 5.5v13l10-6.5z",
  pause: "M8 5v14M16 5v14",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  down: "M12 5v14M6 13l6 6 6-6",
  keyboard: "M3 6.5h18v11H3zM7 10h.01M11 10h.01M15 10h.01M17.5 10h.01M7 14h10",
  gift: "M4 11h16v9H4zM3 7.5h18V11H3zM12 7.5V20M12 7.5C8 7.5 7.5 3.5 9.5 3.5S12 7.5 12 7.5s.5-4 2.5-4 1.5 4-2.5 4",
  record: "M6 3.5h9l4 4v13H6zM14.5 3.5V8H19M9 12h7M9 16h5",
  calendar: "M4 6h16v14H4zM4 10.5h16M8 3.5V8M16 3.5V8",
  star: "M12 3.8l2.5 5.3 5.7.7-4.2 4 1.1 5.7-5.1-2.9-5.1 2.9 1.1-5.7-4.2-4 5.7-.7z",
  clock: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v4.5l3 1.8",
  alert: "M12 4 21 19.5H3zM12 10v4.5M12 17.2h.01",
  retry: "M20 12a8 8 0 1 1-2.5-5.8M20 4v4h-4",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }): ReactNode {
  return (
    <svg className="yz-icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} fill={name === "play" ? "currentColor" : "none"} stroke="currentColor" strokeWidth="1.8" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}
