import type { ReactNode } from "react";
import { countdown } from "../format";
import { useRemaining, useTranslate } from "../react/context";

const URGENT_MS = 2 * 3_600_000;

/** Time until an instant, by the server's clock. Silent to screen readers' live regions: it would speak each second. */
export function Countdown({ until, urgentMs = URGENT_MS }: { until: string | null; urgentMs?: number }): ReactNode {
  const t = useTranslate();
  const left = useRemaining(until);
  if (left === null) return null;
  return (
    <span className="yz-countdown" role="timer" aria-live="off" aria-label={t("chat.timeLeft")} data-urgent={left < urgentMs}>
      {countdown(left)}
    </span>
  );
}
