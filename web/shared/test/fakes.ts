import type { Commands, Events, Schemas } from "../src/socket/schema";
import type { OutboxItem, OutboxStore } from "../src/socket/outbox";
import type { CommandName, EventName, Wire } from "../src/socket/wire";

export const OWN = "own";
export const OTHER = "other";
export const TALK = "talk-1";

export function message(seq: number, more: Partial<Schemas["Message"]> = {}): Schemas["Message"] {
  return {
    conversation_id: TALK, seq, kind: "message", client_id: `other-${seq}`, sender: { account_id: OTHER, role: "doctor", name: "王" },
    parts: [{ kind: "text", text: `text ${seq}` }], sent_at: "2026-11-22T08:00:00.000Z", recalled: false, recalls: null, corrects: null,
    closes: null, ...more,
  };
}

/** A server that keeps one conversation as ours does: a client id is stored once, sync answers from a cursor. */
export class FakeServer implements Wire {
  readonly log: Schemas["Message"][] = [];
  readonly asked: [CommandName, unknown][] = [];
  epoch = 1;
  connected = false;
  /** What the next sends meet: the answer is lost after storing; the request is lost before it; or a refusal. */
  faults: ("answer lost" | "request lost" | Schemas["SocketError"])[] = [];
  private readonly listeners = new Map<string, ((body: never) => void)[]>();
  private readonly watchers: ((connected: boolean) => void)[] = [];

  connect(): void {
    this.connected = true;
    for (const watch of this.watchers) watch(true);
  }

  disconnect(): void {
    this.connected = false;
    for (const watch of this.watchers) watch(false);
  }

  async ask<C extends CommandName>(command: C, body: Commands[C]["body"]): Promise<Commands[C]["ack"]> {
    if (!this.connected) throw new Error("not connected");
    this.asked.push([command, body]);
    if (command === "message.send") return this.send(body as Schemas["SendBody"]);
    if (command === "conversation.sync") return this.sync((body as Schemas["SyncBody"]).cursors);
    return { ok: true } as Commands[C]["ack"];
  }

  on<E extends EventName>(event: E, listener: (body: Events[E]) => void): void {
    this.listeners.set(event, [...(this.listeners.get(event) ?? []), listener]);
  }

  onConnected(listener: (connected: boolean) => void): void {
    this.watchers.push(listener);
  }

  emit<E extends EventName>(event: E, body: Events[E]): void {
    for (const listener of this.listeners.get(event) ?? []) listener(body as never);
  }

  texts(): string[] {
    return this.log.flatMap((m) => m.parts.map((part) => (part.kind === "text" ? part.text : "")));
  }

  private send(body: Schemas["SendBody"]): Schemas["MessageAck"] | Schemas["ErrorAck"] {
    const fault = this.faults.shift();
    if (fault === "request lost") throw new Error("cut");
    if (typeof fault === "object") return { ok: false, error: fault };
    let stored = this.log.find((m) => m.client_id === body.client_id);
    if (stored === undefined) {
      const sender = { account_id: OWN, role: "patient", name: "李" };
      stored = message(this.log.length + 1, { client_id: body.client_id, sender, parts: body.parts as Schemas["Message"]["parts"] });
      this.log.push(stored);
    }
    if (fault === "answer lost") throw new Error("cut");
    return { ok: true, message: stored };
  }

  private sync(cursors: Record<string, number>): Schemas["SyncAck"] {
    const after = cursors[TALK] ?? 0;
    const messages = this.log.filter((m) => m.seq > after).slice(0, 3);
    const conversation: Schemas["SyncedConversation"] = {
      conversation_id: TALK, order_id: "order-1", open: true, closes_at: "2026-11-24T08:00:00.000Z", seq: this.log.length, messages,
      more: after + messages.length < this.log.length, receipts: [], unread: 0,
    };
    return { ok: true, epoch: this.epoch, conversations: [conversation] };
  }
}

export class MemoryStore implements OutboxStore {
  readonly kept = new Map<string, OutboxItem>();

  async list(accountId: string): Promise<OutboxItem[]> {
    return [...this.kept.values()].filter((item) => item.account_id === accountId);
  }

  async put(item: OutboxItem): Promise<void> {
    this.kept.set(item.client_id, item);
  }

  async remove(clientId: string): Promise<void> {
    this.kept.delete(clientId);
  }
}

/** Until all that was begun has come to rest; nothing here waits for a clock. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 60; turn += 1) await Promise.resolve();
}
