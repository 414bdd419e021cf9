/** The week's hours as the form holds them. */
import type { Models } from "@yunzhen/shared";

export type Hours = Models["HoursModel"];

export const WEEKDAYS = [1, 2, 3, 4, 5, 6, 7] as const;

/** By day and then by time, as people read a week. */
export function sorted(hours: readonly Hours[]): Hours[] {
  return [...hours].sort((a, b) => a.weekday - b.weekday || a.from.localeCompare(b.from));
}

/** An end at or before the beginning; 24:00 is the day's end. */
export const isWrong = (hours: Hours): boolean => hours.from === "" || hours.to === "" || hours.from >= hours.to;

/** The next stretch of a day: the afternoon after a morning, else the morning. */
export function proposal(hours: readonly Hours[], weekday: number): Hours {
  const last = sorted(hours.filter((each) => each.weekday === weekday)).at(-1);
  if (last === undefined) return { weekday, from: "08:00", to: "12:00" };
  return last.to < "14:00" ? { weekday, from: "14:00", to: "17:30" } : { weekday, from: last.to, to: "23:00" };
}
