/** What an order comes to for its patient: pure, in codes; the words are in `words/`. The server decides, this only shows. */
import type { Order, OrderStatus } from "../queries";

export const STATUSES: readonly OrderStatus[] = [
  "pending_payment", "awaiting_doctor", "in_session", "completed", "refunding", "refunded", "cancelled",
];

export const isOpen = (order: Order): boolean => order.status === "awaiting_doctor" || order.status === "in_session";

/** The patient may take it back for nothing until the doctor's first reply. */
export const mayCancel = (order: Order): boolean =>
  order.status === "pending_payment" || (isOpen(order) && order.replies.used === 0);

export const mayRate = (order: Order): boolean => order.status === "completed" && order.rating === null;

/** Once, after an answer; for how long, the server decides. */
export const mayAskForTheFee = (order: Order): boolean =>
  order.after_sales === null && (order.status === "completed" || order.status === "in_session");

/** There is something to read once it was paid. */
export const hasChat = (order: Order): boolean => order.paid_at !== null;

export const repliesLeft = (order: Order): number => Math.max(0, order.replies.limit - order.replies.used);

export type StepKey = "placed" | "paid" | "replied" | "closed" | "refunding" | "refunded" | "rated";
export interface Step {
  key: StepKey;
  at: string | null;
  state: "done" | "now" | "ahead";
}

const MONEY_BACK: readonly OrderStatus[] = ["refunding", "refunded"];

/** What happened and what comes next, in order. */
export function timeline(order: Order): Step[] {
  const step = (key: StepKey, done: boolean, at: string | null = null): Step => ({ key, at: done ? at : null, state: done ? "done" : "ahead" });
  const steps = [step("placed", true, order.created_at)];
  const paid = order.paid_at !== null;
  if (paid || order.closed_at === null) steps.push(step("paid", paid, order.paid_at));
  if (order.replies.used > 0 || order.closed_at === null) steps.push(step("replied", order.replies.used > 0));
  steps.push(step("closed", order.closed_at !== null, order.closed_at));
  if (MONEY_BACK.includes(order.status)) {
    steps.push(step("refunding", true));
    steps.push(step("refunded", order.status === "refunded"));
  } else if (order.status === "completed") {
    steps.push(step("rated", order.rating !== null, order.rating?.rated_at ?? null));
  }
  const next = steps.find((each) => each.state === "ahead");
  if (next !== undefined) next.state = "now";
  return steps;
}
