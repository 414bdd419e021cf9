import { extend, useTranslate } from "@yunzhen/shared";
import { en } from "./words/en";
import { zh } from "./words/zh";

/** The words of this app alone, in words/; shared ones are in shared/src/i18n. */
export type Key = import("@yunzhen/shared").SharedKey | keyof typeof zh;
export const words = extend({ zh, en });
export const useT = useTranslate<Key>;
