/** What is shown of a message that was found: pure. */

export interface Piece {
  text: string;
  found: boolean;
}

/** The server goes by two characters side by side. */
export const searchable = (q: string): boolean => /[\p{L}\p{N}]{2}/u.test(q.normalize("NFKC"));

const BEFORE = 16;
const MOST = 90;

/** The words around the first place that is looked for, with every such place marked; case does not matter. */
export function around(text: string, q: string): Piece[] {
  const words = q.trim().toLowerCase().split(/\s+/).filter((each) => each !== "");
  const first = Math.min(...words.map((word) => text.toLowerCase().indexOf(word)).filter((at) => at >= 0), Infinity);
  const start = Number.isFinite(first) && first > BEFORE ? first - BEFORE : 0;
  const shown = `${start > 0 ? "…" : ""}${text.slice(start, start + MOST)}${text.length > start + MOST ? "…" : ""}`;
  const pieces: Piece[] = [];
  let rest = shown;
  while (rest !== "") {
    const places = words.map((word) => ({ at: rest.toLowerCase().indexOf(word), word })).filter(({ at }) => at >= 0).sort((a, b) => a.at - b.at || b.word.length - a.word.length);
    const [next] = places;
    if (next === undefined) {
      pieces.push({ text: rest, found: false });
      break;
    }
    if (next.at > 0) pieces.push({ text: rest.slice(0, next.at), found: false });
    pieces.push({ text: rest.slice(next.at, next.at + next.word.length), found: true });
    rest = rest.slice(next.at + next.word.length);
  }
  return pieces;
}
