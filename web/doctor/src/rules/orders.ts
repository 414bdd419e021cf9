/** What the desk shows of orders: pure rules over what the server said. */
import type { Log, Models } from "@yunzhen/shared";

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

/** The order that an address of this app names. */
export const idAt = (path: string): string | null => /\/orders\/([^/?#]+)\/?$/.exec(path)?.[1] ?? null;

/** The order above or below one in the lists, going round; from none of them the first or the last. Null where the lists are empty. */
export function beside(lists: { waiting: readonly Order[]; open: readonly Order[] }, current: string | null, step: 1 | -1): string | null {
  const ids = [...lists.waiting, ...lists.open].map((order) => order.id);
  const at = ids.findIndex((id) => id === current);
  const next = at < 0 ? (step > 0 ? 0 : ids.length - 1) : (at + step + ids.length) % ids.length;
  return ids[next] ?? null;
}

export interface Said {
  /** The conversation as far as it is here; `first` is 1 where all of it is. */
  log: Pick<Log, "first" | "messages">;
  /** Written here and not known to be stored; one message may be listed twice while it is handed on. */
  waiting: readonly { client_id: string; state: string }[];
  own: string;
}

/**
 * How many replies can still be written. The order, the log and what waits to be sent each learn of a reply at their own moment; it is
 * used from the first of these on, and used once. Nobody else's messages count: an order changes hands only while no reply counts.
 */
export function repliesLeft(order: Order, { log, waiting, own }: Said): number {
  const stored = log.messages.filter((each) => each.kind === "message" && each.sender.account_id === own);
  const counted = stored.filter((each) => !each.recalled).length;
  const known = new Set(stored.map((each) => each.client_id));
  const unsent = new Set(waiting.filter((each) => each.state === "queued" && !known.has(each.client_id)).map((each) => each.client_id)).size;
  const { limit, used } = order.replies;
  return Math.max(0, limit - (log.first === 1 ? Math.max(used, counted + unsent) : Math.max(used, counted) + unsent));
}

/** A ready-made sentence with its names filled in. Anything else in braces stays as it is. */
export function filled(text: string, order: Order): string {
  const names: Record<string, string> = { patient: order.patient.name, doctor: order.doctor.name, department: order.doctor.department };
  return text.replace(/\{(patient|doctor|department)\}/g, (whole, name: string) => names[name] ?? whole);
}
