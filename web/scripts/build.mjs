// Build the apps into dist/<app>, then pack what compresses with brotli and gzip beside it. Arguments: the apps; all if none.
import { cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { build } from "vite";

const root = fileURLToPath(new URL("../", import.meta.url));
const apps = process.argv.slice(2).length ? process.argv.slice(2) : ["patient", "doctor", "console"];

for (const app of apps) await build({ root: `${root}${app}`, configFile: `${root}${app}/vite.config.ts`, logLevel: "warn" });
rmSync(`${root}dist/chooser`, { recursive: true, force: true });
cpSync(`${root}chooser`, `${root}dist/chooser`, { recursive: true });

for (const name of readdirSync(`${root}dist`, { recursive: true, encoding: "utf8" })) {
  const file = `${root}dist/${name}`;
  if (!/\.(js|css|svg|html|json|webmanifest)$/.test(name) || !statSync(file).isFile() || statSync(file).size < 600) continue;
  const content = readFileSync(file);
  writeFileSync(`${file}.br`, brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }));
  writeFileSync(`${file}.gz`, gzipSync(content, { level: 9 }));
}
