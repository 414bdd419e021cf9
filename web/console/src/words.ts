import { type SharedKey, extend, useTranslate } from "@yunzhen/shared";
import { actionsEn, actionsZh } from "./words/actions";
import { boardEn, boardZh } from "./words/board";
import { frameEn, frameZh } from "./words/frame";
import { moneyEn, moneyZh } from "./words/money";
import { ordersEn, ordersZh } from "./words/orders";
import { peopleEn, peopleZh } from "./words/people";
import { proofEn, proofZh } from "./words/proof";
import { sentencesEn, sentencesZh } from "./words/sentences";
import { workEn, workZh } from "./words/work";

/** The words of this app alone, by feature in words/; shared ones are in shared/src/i18n. */
const zh = { ...actionsZh, ...frameZh, ...boardZh, ...ordersZh, ...moneyZh, ...workZh, ...proofZh, ...peopleZh, ...sentencesZh };
const en: typeof zh = { ...actionsEn, ...frameEn, ...boardEn, ...ordersEn, ...moneyEn, ...workEn, ...proofEn, ...peopleEn, ...sentencesEn };

export type Key = SharedKey | keyof typeof zh;
export const words = extend({ zh, en });
export const useT = useTranslate<Key>;

/** What an audit's code means; the code itself where there are no words for it. */
export function useAction(): (code: string) => string {
  const t = useT();
  return (code) => {
    const key = `action.${code}`;
    return key in actionsEn ? t(key as Key) : code;
  };
}

/** All codes that there are words for. */
export const ACTIONS: readonly string[] = Object.keys(actionsEn).map((key) => key.slice("action.".length)).filter((code) => !code.startsWith("money."));
