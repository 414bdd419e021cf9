/** What charts compute: axes that people can read, and points on them. */

/** A top that is 1, 2, 2.5 or 5 times a power of ten and holds the largest value, and even, whole steps up to it. */
export function ticks(largest: number, most = 4): number[] {
  if (largest <= 0) return [0, 1];
  const rough = largest / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const nice = [1, 2, 2.5, 5, 10].map((each) => each * power).find((each) => each >= rough && (each < 1 || Number.isInteger(each))) ?? rough;
  const step = Math.max(nice, 1);
  return Array.from({ length: Math.ceil(largest / step) + 1 }, (_, n) => n * step);
}

export interface Point {
  x: number;
  y: number;
}

/** Values from left to right in a box; a single one stands in the middle. */
export function place(values: readonly number[], top: number, width: number, height: number): Point[] {
  return values.map((value, n) => ({
    x: values.length === 1 ? width / 2 : (n * width) / (values.length - 1),
    y: height - (top === 0 ? 0 : (value / top) * height),
  }));
}

export const path = (points: readonly Point[]): string =>
  points.map(({ x, y }, n) => `${n === 0 ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

/** Which of so many labels to write so that they do not touch: the last one always. */
export function shownLabels(count: number, most: number): Set<number> {
  const step = Math.max(1, Math.ceil(count / most));
  const shown = new Set<number>();
  for (let n = count - 1; n >= 0; n -= step) shown.add(n);
  return shown;
}
