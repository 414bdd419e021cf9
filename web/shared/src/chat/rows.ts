/**
 * What a conversation looks like, line by line. Pure: the log and what waits to be sent in, rows out. Every row has a key that stays its
 * own while the conversation grows at either end.
 */
import type { Log, Message } from "../socket/conversation";
import type { OutboxItem } from "../socket/outbox";
import type { Waiting } from "./queue";

/** How far an own message has come. */
export type Progress = "sent" | "delivered" | "read";

const REFERRED = ["proposed", "accepted", "agreed", "refused", "withdrawn", "taken", "returned"] as const;
export type ReferredAct = (typeof REFERRED)[number];

export type SystemEvent =
  | { name: "opened" }
  | { name: "gift"; count: number }
  /** From one doctor towards another, or out of a department's pool and back; `doctor` is whom it is about. */
  | { name: "referred"; act: ReferredAct; doctor: string; reason: string | null }
  /** The money moved: `refund` back to the patient, `earned` to the doctor, when the consult may be rated. */
  | { name: "settled"; outcome: "refund" | "earned" }
  /** `reason`: the doctor's own words where they gave the order back. */
  | { name: "closed"; cause: string; reason: string | null };

export type Row =
  | { kind: "day"; key: string; at: string }
  | { kind: "system"; key: string; message: Message; event: SystemEvent }
  | {
      kind: "message"; key: string; message: Message; own: boolean; progress: Progress;
      /** The first of several by one sender in a row. */
      first: boolean;
      /** A later message says that it corrects this one. */
      corrected: boolean;
      /** What this one corrects, where that is still here. */
      corrects: Message | null;
    }
  /** What follows was new when this conversation was opened. */
  | { kind: "unread"; key: string }
  | { kind: "pending"; key: string; item: OutboxItem; first: boolean }
  | { kind: "waiting"; key: string; item: Waiting; first: boolean };

export interface Besides {
  /** Files of these are not on the server yet. */
  waiting?: readonly Waiting[];
  /** The last number that had been read when this was opened; null where nothing was new. */
  readTo?: number | null;
  /** Whether to ask for a rating where the log does. */
  asksForRating?: boolean;
}

const GROUP_MS = 5 * 60_000;

export function rowsOf(log: Log, pending: readonly OutboxItem[], ownAccountId: string, besides: Besides = {}): Row[] {
  const { waiting = [], readTo = null, asksForRating = false } = besides;
  const others = Object.values(log.receipts).filter((receipt) => receipt.account_id !== ownAccountId);
  const lowest = (mark: "delivered_seq" | "read_seq"): number => (others.length === 0 ? 0 : Math.min(...others.map((each) => each[mark])));
  const delivered = lowest("delivered_seq");
  const read = lowest("read_seq");
  const bySeq = new Map(log.messages.map((message) => [message.seq, message]));
  const corrected = new Set(log.messages.filter((m) => m.corrects !== null && !m.recalled).map((m) => m.corrects));
  const rows: Row[] = [];
  let day = "";
  let before: Message | null = null;
  let marked = readTo === null;
  for (const message of log.messages) {
    if (message.kind === "recall") continue; // it shows where the recalled one was
    const event = eventOf(message);
    if (event?.name === "settled" && event.outcome === "earned" && !asksForRating) continue;
    const today = dayOf(message.sent_at);
    if (today !== day) {
      day = today;
      rows.push({ kind: "day", key: `day-${String(message.seq)}`, at: message.sent_at });
      before = null;
    }
    if (event !== null) {
      rows.push({ kind: "system", key: `s-${String(message.seq)}`, message, event });
      before = null;
      continue;
    }
    const own = message.sender.account_id === ownAccountId;
    if (!marked && readTo !== null && message.seq > readTo && !own) {
      rows.push({ kind: "unread", key: "unread" });
      marked = true;
      before = null;
    }
    const progress: Progress = read >= message.seq ? "read" : delivered >= message.seq ? "delivered" : "sent";
    rows.push({
      kind: "message", key: `m-${String(message.seq)}`, message, own, progress, first: !follows(before, message),
      corrected: corrected.has(message.seq),
      corrects: message.corrects === null ? null : (bySeq.get(message.corrects) ?? null),
    });
    before = message;
    if (message.closes !== null && !message.recalled) {
      const cause = message.closes;
      rows.push({ kind: "system", key: `c-${String(message.seq)}`, message, event: { name: "closed", cause, reason: null } });
      before = null;
    }
  }
  // Shown once, whichever of the three places it is in; the key stays while it goes from one to the next.
  const here = new Set(log.messages.map((message) => message.client_id));
  const fresh = pending.filter((item) => !here.has(item.client_id));
  const sending = new Set(fresh.map((item) => item.client_id));
  const begins = before?.sender.account_id !== ownAccountId;
  fresh.forEach((item, index) => {
    rows.push({ kind: "pending", key: `p-${item.client_id}`, item, first: begins && index === 0 });
  });
  waiting.filter((item) => !here.has(item.client_id) && !sending.has(item.client_id)).forEach((item, index) => {
    rows.push({ kind: "waiting", key: `p-${item.client_id}`, item, first: begins && fresh.length === 0 && index === 0 });
  });
  return rows;
}

const MOST_DAYS = 2_000;
const days = new Map<string, string>();

/** The local day of an instant. Days begin at no other time than a quarter of an hour anywhere, so that one look serves many messages. */
function dayOf(instant: string): string {
  const quarter = `${instant.slice(0, 14)}${String(Math.floor(Number(instant.slice(14, 16)) / 15))}`;
  const known = days.get(quarter) ?? new Date(instant).toDateString();
  if (days.size > MOST_DAYS) days.clear();
  days.set(quarter, known);
  return known;
}

function follows(before: Message | null, message: Message): boolean {
  return (
    before !== null && before.sender.account_id === message.sender.account_id && !before.recalled &&
    Date.parse(message.sent_at) - Date.parse(before.sent_at) < GROUP_MS
  );
}

function eventOf(message: Message): SystemEvent | null {
  const data: Record<string, unknown> = message.parts.map((part) => (part.kind === "system" ? part.data : null)).find((each) => each !== null) ?? {};
  switch (message.kind) {
    case "opened":
      return { name: "opened" };
    case "gift":
      return { name: "gift", count: Number(data["count"] ?? 1) };
    case "referred":
      return {
        name: "referred", act: REFERRED.find((act) => act === data["act"]) ?? "agreed",
        doctor: (data["doctor"] as { name?: string } | undefined)?.name ?? "",
        reason: typeof data["reason"] === "string" ? data["reason"] : null,
      };
    case "settled":
      return { name: "settled", outcome: data["outcome"] === "refund" ? "refund" : "earned" };
    case "closed": {
      const reason = data["reason"];
      const own = typeof reason === "string" && reason !== message.closes ? reason : null;
      return { name: "closed", cause: message.closes ?? "finished", reason: own };
    }
    default:
      return null;
  }
}

/** The words of a message, for quoting and for copying. */
export function textOf(message: Message): string {
  return message.parts.flatMap((part) => (part.kind === "text" ? [part.text] : [])).join("\n");
}

/** Whether its sender may still take it back: the server decides, this says whether it is worth asking. */
export function mayRecall(message: Message, ownAccountId: string, now: number, windowMs: number): boolean {
  return (
    message.kind === "message" && !message.recalled && message.sender.account_id === ownAccountId &&
    now - Date.parse(message.sent_at) < windowMs
  );
}
