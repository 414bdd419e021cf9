import { type SharedKey, extend, useTranslate } from "@yunzhen/shared";
import { deskEn, deskZh } from "./words/desk";
import { frameEn, frameZh } from "./words/frame";
import { noticesEn, noticesZh } from "./words/notices";
import { orderEn, orderZh } from "./words/order";
import { ownEn, ownZh } from "./words/own";
import { poolEn, poolZh } from "./words/pool";
import { recordsEn, recordsZh } from "./words/records";
import { referralEn, referralZh } from "./words/referral";
import { searchEn, searchZh } from "./words/search";

/** The words of this app alone, by feature in words/; shared ones are in shared/src/i18n. */
const zh = { ...frameZh, ...deskZh, ...orderZh, ...recordsZh, ...noticesZh, ...ownZh, ...searchZh, ...referralZh, ...poolZh };
const en: typeof zh = { ...frameEn, ...deskEn, ...orderEn, ...recordsEn, ...noticesEn, ...ownEn, ...searchEn, ...referralEn, ...poolEn };

export type Key = SharedKey | keyof typeof zh;
export const words = extend({ zh, en });
export const useT = useTranslate<Key>;
