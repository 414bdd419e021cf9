/** The visible mark over a chat on the patient's phone: a picture of the screen says whose chat it shows. */
import type { Order } from "../queries";

const WIDTH = 220;
const HEIGHT = 150;

/** A tile to repeat: the patient and the number of the order, faint enough to read through in the light and in the dark. */
export function chatMark(order: Pick<Order, "patient" | "number">): { url: string; width: number; height: number } {
  const words = [order.patient.name, order.number].map((line, row) => `<text x="16" y="${String(90 + row * 22)}">${inXml(line)}</text>`).join("");
  const drawn =
    `<svg xmlns="http://www.w3.org/2000/svg" width="${String(WIDTH)}" height="${String(HEIGHT)}">` +
    `<g transform="rotate(-20 110 75)" font-family="sans-serif" font-size="14" fill="#808a8c" fill-opacity="0.16">${words}</g></svg>`;
  return { url: `data:image/svg+xml,${encodeURIComponent(drawn)}`, width: WIDTH, height: HEIGHT };
}

function inXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
