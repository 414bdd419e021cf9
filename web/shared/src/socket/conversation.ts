/**
 * One conversation's log on this device: entries by `seq`, without a hole up to `seq`. Pure: values in, values out. An entry that comes
 * early waits until the hole before it is filled; one that comes twice changes nothing; a recall empties what it names.
 */
import type { Schemas } from "./schema";

export type Message = Schemas["Message"];
export type Receipt = Schemas["Receipt"];
export type Synced = Schemas["SyncedConversation"];

export interface Log {
  readonly conversationId: string;
  readonly orderId: string | null;
  /** Whether it takes messages; null until the server has said. */
  readonly open: boolean | null;
  readonly closesAt: string | null;
  /** Ascending, each one more than the one before it. */
  readonly messages: readonly Message[];
  /** The first number that is here is `first`; history before it can be asked for. */
  readonly first: number;
  /** The last number up to which nothing is missing. */
  readonly seq: number;
  /** Came before what precedes them. */
  readonly early: readonly Message[];
  readonly receipts: Readonly<Record<string, Receipt>>;
  readonly unread: number;
}

export function emptyLog(conversationId: string): Log {
  return {
    conversationId, orderId: null, open: null, closesAt: null, messages: [], first: 1, seq: 0, early: [], receipts: {}, unread: 0,
  };
}

/** Entries in any order, new or known. `after`: the server says that nothing lies between this number and the first of them. */
export function withMessages(log: Log, incoming: readonly Message[], after?: number): Log {
  const waiting = new Map([...log.early, ...incoming].filter((m) => m.seq > log.seq).map((m) => [m.seq, m]));
  let { first, seq } = log;
  if (after !== undefined && log.messages.length === 0 && after > seq) {
    seq = after;
    first = after + 1;
  }
  const added: Message[] = [];
  for (let next = waiting.get(seq + 1); next !== undefined; next = waiting.get(seq + 1)) {
    waiting.delete(next.seq);
    added.push(next);
    seq = next.seq;
  }
  const early = [...waiting.values()].filter((m) => m.seq > seq).sort((a, b) => a.seq - b.seq);
  const replaced = new Map(incoming.filter((m) => m.recalled).map((m) => [m.seq, m]));
  const known = log.messages.map((m) => replaced.get(m.seq) ?? m);
  return { ...log, first, seq, early, messages: withRecalls([...known, ...added]) };
}

/** History before what is here: ascending, its last one directly before `first`. */
export function withHistory(log: Log, older: readonly Message[]): Log {
  const before = older.filter((m) => m.seq < log.first).sort((a, b) => a.seq - b.seq);
  if (before.at(-1)?.seq !== log.first - 1) return log;
  return { ...log, first: before[0]?.seq ?? log.first, messages: withRecalls([...before, ...log.messages]) };
}

/** What `conversation.sync` said about it, asked with the cursor `after`. */
export function withSync(log: Log, synced: Synced, after: number): Log {
  const receipts = Object.fromEntries(synced.receipts.map((receipt) => [receipt.account_id, receipt]));
  const merged = withMessages(log, synced.messages, after);
  return {
    ...merged, orderId: synced.order_id, open: synced.open, closesAt: synced.closes_at, unread: synced.unread,
    receipts: Object.values(receipts).reduce((all, each) => withReceipt({ ...merged, receipts: all }, each).receipts, merged.receipts),
  };
}

/** Marks only rise. */
export function withReceipt(log: Log, receipt: Receipt): Log {
  const old = log.receipts[receipt.account_id];
  const risen = {
    ...receipt,
    delivered_seq: Math.max(receipt.delivered_seq, old?.delivered_seq ?? 0),
    read_seq: Math.max(receipt.read_seq, old?.read_seq ?? 0),
  };
  return { ...log, receipts: { ...log.receipts, [receipt.account_id]: risen } };
}

export const hasHole = (log: Log): boolean => log.early.length > 0;

/** How far the others have read: the lowest of their marks. */
export function readByOthers(log: Log, ownAccountId: string): number {
  const others = Object.values(log.receipts).filter((receipt) => receipt.account_id !== ownAccountId);
  return others.length === 0 ? 0 : Math.min(...others.map((receipt) => receipt.read_seq));
}

function withRecalls(messages: readonly Message[]): readonly Message[] {
  const recalled = new Set(messages.map((m) => m.recalls).filter((seq) => seq !== null));
  if (recalled.size === 0) return messages;
  return messages.map((m) => (recalled.has(m.seq) && !m.recalled ? { ...m, recalled: true, parts: [] } : m));
}
