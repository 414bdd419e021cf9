// JavaScript on the critical path of each app: its entry and all that the entry imports at once, as the server sends it (brotli).
import { readFileSync, statSync } from "node:fs";

const KB = 1000;
const BUDGETS = { patient: 250 * KB, doctor: 300 * KB, console: 600 * KB };
const dist = new URL("../dist/", import.meta.url);
let over = 0;
for (const [app, budget] of Object.entries(BUDGETS)) {
  const manifest = JSON.parse(readFileSync(new URL(`${app}/.vite/manifest.json`, dist), "utf8"));
  const files = new Set();
  const follow = (key) => {
    const chunk = manifest[key];
    if (files.has(chunk.file)) return;
    files.add(chunk.file);
    (chunk.imports ?? []).forEach(follow);
  };
  Object.keys(manifest).filter((key) => manifest[key].isEntry).forEach(follow);
  const size = (file) => {
    const packed = statSync(new URL(`${app}/${file}.br`, dist), { throwIfNoEntry: false });
    return (packed ?? statSync(new URL(`${app}/${file}`, dist))).size;
  };
  const bytes = [...files].map(size).reduce((sum, each) => sum + each, 0);
  console.log(`${app}: ${(bytes / KB).toFixed(1)} kB of ${budget / KB} kB in ${files.size} files`);
  if (bytes > budget) over += 1;
}
if (over) console.error("too much JavaScript before the first screen: import() what it does not need");
process.exit(over ? 1 : 0);
