/** Yuan as people write them, to whole fen and back, without a float that holds money. */
const YUAN = /^(\d{1,6})(?:\.(\d{1,2}))?$/;
export const MOST_FEN = 10_000_000;

/** Fen, or null for what is no amount from 0.01 to 100000 yuan. */
export function fenOf(text: string): number | null {
  const found = YUAN.exec(text.trim());
  if (found === null) return null;
  const fen = Number(found[1]) * 100 + Number((found[2] ?? "").padEnd(2, "0"));
  return fen >= 1 && fen <= MOST_FEN ? fen : null;
}

export const yuanOf = (fen: number): string => (fen % 100 === 0 ? String(fen / 100) : `${Math.trunc(fen / 100)}.${String(fen % 100).padStart(2, "0")}`);
