/** A table as a file for spreadsheets: RFC 4180, with the mark by which they know UTF-8. */

const RISKY = /^[=+\-@\t\r]/;

/** A cell. What a spreadsheet would take for a formula is made plain text by an apostrophe. */
function cell(value: string | number | null): string {
  if (value === null) return "";
  const text = typeof value === "string" && RISKY.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function toCsv(rows: readonly (readonly (string | number | null)[])[]): string {
  return `\uFEFF${rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("")}`;
}
