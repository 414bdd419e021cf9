import { format, useRemaining } from "@yunzhen/shared";
import type { ReactNode } from "react";
import { useT } from "../words";

/** How long there is left, by the server's time: hours and minutes at first, seconds in the last hour; not read aloud. */
export function Until({ at }: { at: string | null }): ReactNode {
  const t = useT();
  const remaining = useRemaining(at);
  if (at === null || remaining === null) return null;
  if (remaining === 0) return <span>{t("time.over")}</span>;
  const minutes = Math.floor(remaining / 60_000);
  const time = minutes < 60 ? format.countdown(remaining) : t("time.long", { hours: Math.floor(minutes / 60), minutes: minutes % 60 });
  return <span className="p-until" role="timer" aria-live="off">{t("time.left", { time })}</span>;
}
