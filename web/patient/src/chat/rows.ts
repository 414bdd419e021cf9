/** What a conversation shows, in order: entries of the log, then what is on its way. Pure. */
import type { Message, OutboxItem } from "@yunzhen/shared";
import type { Waiting } from "../media/queue";

export type Row =
  | { key: string; kind: "time"; at: string }
  | { key: string; kind: "opened" }
  | { key: string; kind: "message"; message: Message; mine: boolean }
  | { key: string; kind: "recalled"; message: Message; mine: boolean }
  | { key: string; kind: "event"; message: Message }
  | { key: string; kind: "unread" }
  | { key: string; kind: "pending"; item: OutboxItem }
  | { key: string; kind: "waiting"; item: Waiting };

const APART_MS = 5 * 60_000;

export interface Given {
  messages: readonly Message[];
  pending: readonly OutboxItem[];
  waiting: readonly Waiting[];
  me: string;
  /** The last entry that had been read when this chat was opened: what follows from others is new. */
  readTo: number | null;
}

export function rowsOf({ messages, pending, waiting, me, readTo }: Given): Row[] {
  const rows: Row[] = [];
  let last = 0;
  let marked = readTo === null;
  for (const message of messages) {
    const mine = message.sender.account_id === me;
    if (message.kind === "recall") continue; // what it took back says so itself
    const at = Date.parse(message.sent_at);
    if (at - last > APART_MS) rows.push({ key: `t${message.seq}`, kind: "time", at: message.sent_at });
    last = at;
    if (!marked && readTo !== null && message.seq > readTo && !mine && message.kind === "message") {
      rows.push({ key: "unread", kind: "unread" });
      marked = true;
    }
    rows.push(rowOf(message, mine));
  }
  const here = new Set(messages.map((message) => message.client_id));
  const sending = new Set(pending.map((item) => item.client_id));
  for (const item of pending) if (!here.has(item.client_id)) rows.push({ key: item.client_id, kind: "pending", item });
  for (const item of waiting) {
    if (!here.has(item.client_id) && !sending.has(item.client_id)) rows.push({ key: item.client_id, kind: "waiting", item });
  }
  return rows;
}

function rowOf(message: Message, mine: boolean): Row {
  const key = message.client_id ?? `s${message.seq}`;
  if (message.kind === "opened") return { key, kind: "opened" };
  if (message.kind !== "message") return { key, kind: "event", message };
  return message.recalled ? { key, kind: "recalled", message, mine } : { key, kind: "message", message, mine };
}
