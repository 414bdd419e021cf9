import type { Plugin } from "vite";
import { appConfig } from "../vite.base.ts";

const WITHOUT = "if (csp?.nonce) {\n    styleNode.nonce = csp?.nonce;\n  }";
const WITH = `const nonce = csp?.nonce ?? document.querySelector('meta[name="csp-nonce"]')?.content;\n  if (nonce) styleNode.nonce = nonce;`;

/** antd locks the page behind a dialog by a style element that forgets the nonce which antd was given, so the policy refuses it. */
const nonceOfLock: Plugin = {
  name: "nonce-of-lock",
  enforce: "pre",
  transform(code, id) {
    if (!/@rc-component\/util\/es\/Dom\/dynamicCSS\.js$/.test(id)) return null;
    if (!code.includes(WITHOUT)) throw new Error("antd makes its style elements otherwise now: see whether they carry the nonce");
    return { code: code.replace(WITHOUT, WITH), map: null };
  },
};

const config = appConfig("console");
export default { ...config, plugins: [...(config.plugins ?? []), nonceOfLock] };
