/** A department's sentences: the places in them, and their order. */
export const PLACES = ["patient", "doctor", "department"] as const;
export type Place = (typeof PLACES)[number];

export interface Piece {
  place: Place | null;
  text: string;
}

/** Words and places by turns, nothing left out; other braces are words. */
export function piecesOf(text: string): Piece[] {
  return text.split(/(\{(?:patient|doctor|department)\})/).filter((part) => part !== "").map((part) => {
    const place = PLACES.find((each) => part === `{${each}}`);
    return { place: place ?? null, text: part };
  });
}

/** The order with one of them a step further down (1) or up (-1); null where there is no further. */
export function moved(ids: readonly string[], id: string, by: 1 | -1): string[] | null {
  const at = ids.indexOf(id);
  const other = ids[at + by];
  if (at < 0 || other === undefined) return null;
  return ids.map((each) => (each === id ? other : each === other ? id : each));
}
