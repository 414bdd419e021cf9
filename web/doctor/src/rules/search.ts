/** What a search shows of what it found. */
const BEFORE = 16;
const AFTER = 60;

export interface Snippet {
  before: string;
  match: string;
  after: string;
}

/** The words round the first place that is asked for; their beginning where the server found them by other means. */
export function snippetOf(text: string, asked: string): Snippet {
  const line = text.replace(/\s+/g, " ");
  const at = line.toLowerCase().indexOf(asked.trim().toLowerCase());
  if (asked.trim() === "" || at < 0) return { before: cut(line, AFTER), match: "", after: "" };
  const end = at + asked.trim().length;
  const from = Math.max(0, at - BEFORE);
  return { before: (from > 0 ? "…" : "") + line.slice(from, at), match: line.slice(at, end), after: cut(line.slice(end), AFTER) };
}

const cut = (text: string, most: number): string => (text.length > most ? `${text.slice(0, most)}…` : text);

