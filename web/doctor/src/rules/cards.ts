/** What a card says. */
export const PERIODS = ["morning", "afternoon", "evening"] as const;
export type Period = (typeof PERIODS)[number];

/** A day of the local calendar as 2026-01-05, so many days from an instant. */
export function dayOf(instant: Date, later = 0): string {
  const day = new Date(instant.getFullYear(), instant.getMonth(), instant.getDate() + later);
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${String(day.getFullYear())}-${two(day.getMonth() + 1)}-${two(day.getDate())}`;
}
