/** Words of the apps. An app adds its own with `extend`; a key that is missing in either language does not compile. */
import { ApiError } from "../api/errors";
import { en } from "./en";
import { type Key, zh } from "./zh";

export type Language = "zh-CN" | "en";
export type Words<K extends string> = Record<Language, Record<K, string>>;
export type SharedKey = Key;
export type Fill = Readonly<Record<string, string | number>>;
export type Translate<K extends string = Key> = (key: K, fill?: Fill) => string;

export const shared: Words<Key> = { "zh-CN": zh, en };

export function translator<K extends string>(words: Words<K>, language: Language): Translate<K> {
  return (key, fill) => words[language][key].replace(/\{(\w+)\}/g, (whole, name: string) => String(fill?.[name] ?? whole));
}

/** An app's words beside the shared ones. `own` is given as `{ zh, en }` with the same keys. */
export function extend<Own extends Record<string, string>>(own: { zh: Own; en: { [K in keyof Own]: string } }): Words<Key | (keyof Own & string)> {
  return { "zh-CN": { ...zh, ...own.zh }, en: { ...en, ...own.en } };
}

/** What to tell a person of an error: what to do about it, in their language. */
export function explain<K extends string>(error: unknown, t: Translate<K | Key>, words: Words<K | Key>): string {
  const code = error instanceof ApiError ? error.code : "unknown";
  const key = `error.${code}`;
  return key in words.en ? t(key as Key) : t("error.other", { code });
}

export function preferred(languages: readonly string[]): Language {
  return languages.find((each) => /^(zh|en)\b/i.test(each))?.toLowerCase().startsWith("en") ? "en" : "zh-CN";
}
