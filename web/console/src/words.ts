import { type SharedKey, extend, useTranslate } from "@yunzhen/shared";

/** The words of this app alone; shared ones are in shared/src/i18n. */
const zh = {
  "home.title": "总览",
};
const en: typeof zh = {
  "home.title": "Overview",
};

export type Key = SharedKey | keyof typeof zh;
export const words = extend({ zh, en });
export const useT = useTranslate<Key>;
