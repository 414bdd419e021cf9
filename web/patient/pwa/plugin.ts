/** What makes the app installable: its manifest, its icons, and a service worker that knows the files of this very build. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Plugin } from "vite";
import { icon } from "./icons.ts";

const MANIFEST = {
  id: "/patient/", name: "云诊 · 在线问诊", short_name: "云诊", description: "在线问诊，安心答复", lang: "zh-CN", start_url: "/patient/", scope: "/patient/",
  display: "standalone", orientation: "portrait", background_color: "#f4f7f7", theme_color: "#0f6f70", categories: ["health", "medical"],
  icons: [
    { src: "icon-192.png", sizes: "192x192", type: "image/png" },
    { src: "icon-512.png", sizes: "512x512", type: "image/png" },
    { src: "icon-mask.png", sizes: "512x512", type: "image/png", purpose: "maskable" },
  ],
  shortcuts: [{ name: "我的问诊", url: "/patient/orders" }, { name: "找医生", url: "/patient/doctors" }],
};

export function pwa(): Plugin {
  return {
    name: "yunzhen-pwa",
    apply: "build",
    generateBundle(_, bundle) {
      const files = Object.keys(bundle).filter((name) => name.startsWith("assets/")).sort();
      const version = createHash("sha256").update(files.join()).digest("hex").slice(0, 12);
      const worker = readFileSync(new URL("worker.js", import.meta.url), "utf8");
      const emit = (fileName: string, source: string | Uint8Array): void => void this.emitFile({ type: "asset", fileName, source });
      emit("sw.js", worker.replace("__VERSION__", version).replace("__FILES__", JSON.stringify(files)));
      emit("manifest.webmanifest", JSON.stringify(MANIFEST));
      emit("icon-192.png", icon(192, 0.72));
      emit("icon-512.png", icon(512, 0.72));
      emit("icon-mask.png", icon(512, 0.52));
      emit("icon-apple.png", icon(180, 0.66));
    },
  };
}
