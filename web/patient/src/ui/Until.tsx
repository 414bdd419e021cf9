import { format, useRemaining } from "@yunzhen/shared";
import type { ReactNode } from "react";
import { useT } from "../words";

/** How long there is left, by the server's time: ticks in sight, and is not read aloud each second. */
export function Until({ at }: { at: string | null }): ReactNode {
  const t = useT();
  const remaining = useRemaining(at);
  if (at === null || remaining === null) return null;
  if (remaining === 0) return <span>{t("time.over")}</span>;
  return <span className="p-until" role="timer" aria-live="off">{t("time.left", { time: format.countdown(remaining) })}</span>;
}
