/** What the desk shows of orders: pure rules over what the server said. */
import type { Models } from "@yunzhen/shared";

export type Order = Models["OrderOut"];
export type Tab = "waiting" | "open" | "finished";

const OPEN_STATUSES: readonly Order["status"][] = ["awaiting_doctor", "in_session"];

export const isOpen = (order: Order): boolean => OPEN_STATUSES.includes(order.status);

export function tabOf(order: Order): Tab {
  if (order.status === "awaiting_doctor") return "waiting";
  return order.status === "in_session" ? "open" : "finished";
}

/** Each order once, as it was last heard of. */
export function newest(...sources: readonly (readonly Order[])[]): Order[] {
  const byId = new Map<string, Order>();
  for (const order of sources.flat()) {
    const known = byId.get(order.id);
    if (known === undefined || order.version >= known.version) byId.set(order.id, order);
  }
  return [...byId.values()];
}

/** Waiting and open ones by their deadline, the nearest first; finished ones by their end, the latest first. Unpaid ones are nobody's yet. */
export function listed(orders: readonly Order[], tab: Tab): Order[] {
  const those = orders.filter((order) => tabOf(order) === tab && order.paid_at !== null);
  const deadline = (order: Order): number => (order.deadline_at === null ? Infinity : Date.parse(order.deadline_at));
  const ended = (order: Order): number => Date.parse(order.closed_at ?? order.created_at);
  return those.sort((a, b) => (tab === "finished" ? ended(b) - ended(a) : deadline(a) - deadline(b)) || (a.id < b.id ? -1 : 1));
}

/** How many replies can still be written: those that wait to be sent here are used already. */
export function repliesLeft(order: Order, waiting: number): number {
  return Math.max(0, order.replies.limit - order.replies.used - waiting);
}

/** A ready-made sentence with its names filled in. Anything else in braces stays as it is. */
export function filled(text: string, order: Order): string {
  const names: Record<string, string> = { patient: order.patient.name, doctor: order.doctor.name, department: order.doctor.department };
  return text.replace(/\{(patient|doctor|department)\}/g, (whole, name: string) => names[name] ?? whole);
}
