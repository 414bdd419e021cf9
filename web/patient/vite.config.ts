import { mergeConfig } from "vite";
import { appConfig } from "../vite.base.ts";
import { pwa } from "./pwa/plugin.ts";

export default mergeConfig(appConfig("patient"), { plugins: [pwa()] });
