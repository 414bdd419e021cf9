/** Figures as people read them. */

/** 0.9731 is 97.3 %: one decimal, never rounded up to a hundred. */
export function percent(rate: number): string {
  const tenths = rate >= 1 ? 1000 : Math.min(999, Math.round(rate * 1000));
  return `${String(tenths / 10)}%`;
}

/** Whole minutes below two hours, then hours with one decimal. */
export function span(minutes: number): { unit: "minutes" | "hours"; count: number } {
  return minutes < 120 ? { unit: "minutes", count: Math.round(minutes) } : { unit: "hours", count: Math.round(minutes / 6) / 10 };
}
