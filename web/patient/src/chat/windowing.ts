/** Which rows of a long list are in sight, counted from its lower end: what is above may change its height without moving what is seen. */

export interface Span {
  /** Rows from `start` to before `end`. */
  start: number;
  end: number;
  /** Pixels that stand for the rows before and after them. */
  above: number;
  below: number;
}

/** `height` of row `index`, measured or guessed; `fromBottom`: how far the lower edge of the window is from the end of the list. */
export function spanOf(count: number, height: (index: number) => number, fromBottom: number, view: number, spare: number): Span {
  let end = count;
  let below = 0;
  while (end > 0 && below + height(end - 1) <= fromBottom - spare) {
    end -= 1;
    below += height(end);
  }
  let start = end;
  let shown = 0;
  const wanted = fromBottom - below + view + spare;
  while (start > 0 && shown < wanted) {
    start -= 1;
    shown += height(start);
  }
  let above = 0;
  for (let index = 0; index < start; index += 1) above += height(index);
  return { start, end, above, below };
}
