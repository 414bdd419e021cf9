import js from "@eslint/js";
import a11y from "eslint-plugin-jsx-a11y";
import hooks from "eslint-plugin-react-hooks";
import globals from "globals";
import ts from "typescript-eslint";

export default ts.config(
  { ignores: ["chooser/**", "dist/**", "node_modules/**", "**/schema.d.ts"] },
  js.configs.recommended,
  {
    files: ["**/*.{ts,tsx}"],
    extends: [...ts.configs.strictTypeChecked, a11y.flatConfigs.strict, hooks.configs.flat.recommended],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // An event handler may be async: what it awaits reports its own failures.
      "@typescript-eslint/no-misused-promises": ["error", { checksVoidReturn: { attributes: false } }],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      // Text of people is text, never markup.
      "no-restricted-syntax": ["error", { selector: "JSXAttribute[name.name='dangerouslySetInnerHTML']", message: "Text is text." }],
      // Records and tokens are never kept where a script of tomorrow finds them; shared/src/store.ts holds what may be.
      "no-restricted-globals": ["error", "localStorage", "sessionStorage"],
    },
  },
  { files: ["shared/src/store.ts"], rules: { "no-restricted-globals": "off" } },
  { files: ["**/test/**"], rules: { "@typescript-eslint/no-non-null-assertion": "off", "@typescript-eslint/require-await": "off" } },
  { files: ["**/*.{js,mjs}"], languageOptions: { globals: globals.node } },
  { files: ["patient/pwa/worker.js"], languageOptions: { globals: { ...globals.serviceworker, __FILES__: "readonly" } } },
);
