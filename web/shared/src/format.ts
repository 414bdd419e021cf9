/** Times in this device's zone, money in yuan: for people. Numbers on the wire stay fen and UTC. */
import type { Language } from "./i18n";

/** 1230 fen are ¥12.30; whole yuan lose their zeros. Exact: no float ever holds the sum. */
export function yuan(fen: number): string {
  const whole = Math.trunc(Math.abs(fen) / 100);
  const rest = Math.abs(fen) % 100;
  return `${fen < 0 ? "-" : ""}¥${whole.toLocaleString("en-US")}${rest === 0 ? "" : `.${String(rest).padStart(2, "0")}`}`;
}

/** Today: the time; this year: day and time; else the date. */
export function when(instant: string | number, language: Language, now: number = Date.now()): string {
  const at = new Date(instant);
  const today = new Date(now);
  const time: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", hour12: false };
  if (at.toDateString() === today.toDateString()) return at.toLocaleTimeString(language, time);
  if (at.getFullYear() === today.getFullYear()) return at.toLocaleString(language, { month: "short", day: "numeric", ...time });
  return at.toLocaleDateString(language, { year: "numeric", month: "short", day: "numeric" });
}

export function exactly(instant: string | number, language: Language): string {
  return new Date(instant).toLocaleString(language, { dateStyle: "medium", timeStyle: "medium", hour12: false });
}

/** 47:59:59; the last second shows 00:00:01, and 00:00:00 means that it is over. */
export function countdown(ms: number): string {
  const seconds = Math.ceil(Math.max(0, ms) / 1000);
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}
