import { readFileSync, readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { shared } from "../src/i18n";
import { DARK, LIGHT } from "../src/theme/tokens";
import { words as consoleWords } from "../../console/src/words";
import { words as doctorWords } from "../../doctor/src/words";
import { words as patientWords } from "../../patient/src/words";

const filled = (text: string): string[] => (text.match(/\{\w+\}/g) ?? []).sort();

test.each([["shared", shared], ["patient", patientWords], ["doctor", doctorWords], ["console", consoleWords]])(
  "every word of %s is there in both languages, with the same places to fill",
  (_, words) => {
    const { "zh-CN": zh, en } = words as Record<string, Record<string, string>>;
    expect(Object.keys(en!).sort()).toEqual(Object.keys(zh!).sort());
    for (const [key, chinese] of Object.entries(zh!)) {
      expect([key, chinese.trim() !== "", en![key]!.trim() !== "", filled(en![key]!)]).toEqual([key, true, true, filled(chinese)]);
      expect([key, /[\u4e00-\u9fff]/.test(en![key]!)]).toEqual([key, false]);
    }
  },
);

const root = new URL("../../", import.meta.url);
const css = readFileSync(new URL("shared/src/theme/theme.css", root), "utf8");

function luminance(colour: string): number {
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16) / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
}
const contrast = (a: string, b: string): number => {
  const [light, dark] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light! + 0.05) / (dark! + 0.05);
};

test.each([["light", LIGHT], ["dark", DARK]] as const)("words are legible on every ground in %s, and buttons on their colour", (_, look) => {
  for (const ink of ["text", "muted", "primary", "danger", "warning", "success"] as const)
    for (const ground of ["ground", "surface", "raised", "accent"] as const)
      expect([ink, ground, contrast(look[ink], look[ground]) >= 4.5]).toEqual([ink, ground, true]);
  expect(contrast(look.onPrimary, look.primary)).toBeGreaterThan(4.5);
});

test("the stylesheet and the values for libraries are the same look", () => {
  const found = [...css.matchAll(/--yz-([a-z-]+): (#[0-9a-f]{6});/g)].map(([, name, value]) => `${name} ${value}`);
  const wanted = [LIGHT, DARK].flatMap((look) => Object.entries(look).map(([name, value]) => `${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)} ${value}`));
  expect(found).toEqual(wanted);
});

test("no screen holds words of its own: all Chinese is among the translations", () => {
  const files = ["shared", "patient", "doctor", "console"].flatMap((part) =>
    readdirSync(new URL(`${part}/src/`, root), { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".tsx")).map((name) => `${part}/src/${name}`),
  );
  const speaking = files.filter((name) => /[\u4e00-\u9fff]/.test(readFileSync(new URL(name, root), "utf8").replaceAll('"中文"', "")));
  expect(speaking).toEqual([]);
});
