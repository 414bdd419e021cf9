import react from "@vitejs/plugin-react";
import { defineConfig, type UserConfig } from "vite";

/** How every app is built and, with `npm run dev -w <app>`, served beside a running product on port 8080. */
export function appConfig(app: "patient" | "doctor" | "console"): UserConfig {
  const product = "http://127.0.0.1:8080";
  return defineConfig({
    base: `/${app}/`,
    plugins: [react()],
    build: {
      outDir: `../dist/${app}`,
      emptyOutDir: true,
      target: ["chrome100", "safari15.4", "firefox115"],
      manifest: true,
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false }, // it would be an inline script in old browsers
      reportCompressedSize: false,
    },
    server: { proxy: { "/api": product, "/socket.io": { target: product, ws: true } } },
  });
}
