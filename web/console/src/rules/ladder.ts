/** The reminders' ladder as its text has it (`12h:notice,1h:notice+task`), taken apart so that it can be said in words. */
export const MEANS = ["notice", "sms", "task"] as const;
export type Means = (typeof MEANS)[number];

export interface Rung {
  left: string;
  means: Means[];
}

/** The rungs; none for `none`; null for what is no ladder. */
export function rungs(text: string): Rung[] | null {
  if (text.trim() === "none") return [];
  const found = text.split(",").map((rung) => {
    const [, left, means] = /^\s*(\d+(?:ms|s|m|h|d))\s*:\s*([a-z+\s]+)$/.exec(rung) ?? [];
    const named = means?.split("+").map((each) => MEANS.find((known) => known === each.trim()));
    return left === undefined || named === undefined || named.some((each) => each === undefined) ? null : { left, means: named as Means[] };
  });
  return found.some((rung) => rung === null) ? null : (found as Rung[]);
}
