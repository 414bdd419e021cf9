/** The app's icons as PNG, drawn from our own sign (shared/src/ui/Mark.tsx) when the app is built: a cloud that holds a cross. */
import { crc32, deflateSync } from "node:zlib";

const TEAL = [15, 111, 112] as const;
const WHITE = [255, 255, 255] as const;
const FINE = 3; // samples a pixel, each way

const disc = (x: number, y: number, cx: number, cy: number, r: number): boolean => (x - cx) ** 2 + (y - cy) ** 2 <= r * r;
const box = (x: number, y: number, left: number, top: number, right: number, bottom: number): boolean => x >= left && x <= right && y >= top && y <= bottom;

/** On a field of 48 × 48. */
function inCloud(x: number, y: number): boolean {
  return disc(x, y, 14, 28, 11) || disc(x, y, 24, 20, 13) || disc(x, y, 36, 29, 10) || box(x, y, 14, 24, 36, 39);
}
const inCross = (x: number, y: number): boolean => box(x, y, 22, 20, 26, 34) || box(x, y, 17, 25, 31, 29);

/** A square of `size` pixels; `scale` is how much of it the sign takes (less where a system cuts the corners off). */
export function icon(size: number, scale: number): Uint8Array {
  const rows: number[] = [];
  for (let row = 0; row < size; row += 1) {
    rows.push(0); // no filter
    for (let column = 0; column < size; column += 1) {
      let white = 0;
      for (let sub = 0; sub < FINE * FINE; sub += 1) {
        const x = (((column + ((sub % FINE) + 0.5) / FINE) / size - 0.5) / scale) * 48 + 24.5;
        const y = (((row + (Math.floor(sub / FINE) + 0.5) / FINE) / size - 0.5) / scale) * 48 + 23.5;
        if (inCloud(x, y) && !inCross(x, y)) white += 1;
      }
      const share = white / (FINE * FINE);
      for (let each = 0; each < 3; each += 1) rows.push(Math.round((TEAL[each] ?? 0) * (1 - share) + (WHITE[each] ?? 0) * share));
    }
  }
  return png(size, Uint8Array.from(rows));
}

function png(size: number, rows: Uint8Array): Uint8Array {
  const head = new DataView(new ArrayBuffer(13));
  head.setUint32(0, size);
  head.setUint32(4, size);
  head.setUint8(8, 8); // bits
  head.setUint8(9, 2); // red, green, blue
  const chunks = [chunk("IHDR", new Uint8Array(head.buffer)), chunk("IDAT", deflateSync(rows)), chunk("IEND", new Uint8Array())];
  return Buffer.concat([Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]), ...chunks]);
}

function chunk(name: string, content: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(name, "latin1"), content]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(content.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, sum]);
}
