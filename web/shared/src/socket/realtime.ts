/**
 * The live side of a signed-in account: conversations that are always whole, and what was written here and is not stored yet. Free of any
 * framework; `react/` subscribes to it. Live events are hints: whenever a number is missing, `conversation.sync` says what it was.
 */
import { Coalesced } from "../coalesced";
import type { ServerClock } from "./clock";
import {
  type Log,
  type Message,
  emptyLog, hasHole, withHistory, withMessages, withReceipt, withSync,
} from "./conversation";
import { type Delivery, Outbox, type OutboxItem, type OutboxStore, type Part } from "./outbox";
import type { Commands, Events } from "./schema";
import type { LogStore } from "../store";
import type { EventName, Wire } from "./wire";

export interface Conversation {
  readonly log: Log;
  /** Written here and not in the log yet; shown after it. */
  readonly pending: readonly OutboxItem[];
  /** Who is writing, by account id. */
  readonly typing: readonly string[];
}

export interface RealtimeOptions {
  accountId: string;
  wire: Wire;
  clock: ServerClock;
  outbox: OutboxStore;
  /** Entries before `beforeSeq` (the latest ones without it), ascending; `more` if there are others before them. */
  history: (conversationId: string, beforeSeq: number | null) => Promise<readonly Message[]>;
  /** Where conversations are kept for reading offline; nowhere if not given. */
  logs?: LogStore;
  pause?: (ms: number) => Promise<void>;
}

type Ack<C extends keyof Commands> = Commands[C]["ack"];
const TYPING_MS = 5_000;
const KEEP_MS = 400;
const MOST_CURSORS = 200;

export class Realtime {
  private readonly logs = new Map<string, Log>();
  private readonly snapshots = new Map<string, Conversation>();
  private readonly typing = new Map<string, Map<string, ReturnType<typeof setTimeout>>>();
  private readonly listeners = new Set<() => void>();
  private readonly outbox: Outbox;
  private readonly behind = new Set<string>();
  private syncing = false;
  private epoch: number | null = null;
  private connected = false;
  private stopped = false;
  /** For reading offline: a long history is not copied with every page of it. */
  private readonly kept = new Coalesced((id) => void this.options.logs?.write(this.log(id)).catch(() => undefined), KEEP_MS);

  constructor(private readonly options: RealtimeOptions) {
    const { accountId, wire } = options;
    this.outbox = new Outbox(accountId, options.outbox, (item) => this.deliver(item), (id) => this.changed(id), options.pause);
    wire.on("message.new", (message) => this.take(message.conversation_id, [message]));
    wire.on("receipt", (receipt) => this.put(withReceipt(this.log(receipt.conversation_id), receipt)));
    wire.on("typing", ({ conversation_id, account_id }) => this.someoneTypes(conversation_id, account_id));
    wire.onConnected((connected) => {
      this.connected = connected;
      this.outbox.setOnline(connected);
      if (connected) {
        options.clock.forget();
        void this.sync(null);
      }
      this.notify();
    });
  }

  start(): void {
    this.options.wire.connect();
  }

  /** Put aside at once what waits to be: the page may be over. */
  flush(): void {
    this.kept.flush();
  }

  stop(): void {
    this.stopped = true;
    this.kept.drop(); // whoever signed out leaves nothing behind
    this.outbox.setOnline(false);
    this.options.wire.disconnect();
  }

  readonly isConnected = (): boolean => this.connected;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  };

  /** Orders, notices and the end of the session, as they come. */
  on<E extends EventName>(event: E, listener: (body: Events[E]) => void): void {
    this.options.wire.on(event, listener);
  }

  /** The same object until something in it changes. */
  readonly conversation = (id: string): Conversation => {
    const known = this.snapshots.get(id);
    if (known !== undefined) return known;
    const made = { log: this.log(id), pending: this.outbox.of(id), typing: [...(this.typing.get(id)?.keys() ?? [])] };
    this.snapshots.set(id, made);
    return made;
  };

  /** Have the latest entries of a conversation, from what is kept here and from the server. Rejects where neither can be had. */
  async open(id: string): Promise<void> {
    const kept = this.logs.has(id) ? undefined : await this.options.logs?.read(id);
    if (kept !== undefined && this.log(id).seq === 0) this.put(kept);
    if (this.log(id).seq === 0) {
      const latest = await this.options.history(id, null);
      this.take(id, latest, (latest[0]?.seq ?? 1) - 1);
    }
    await this.sync([id]);
  }

  /** Earlier entries; false when there are none. */
  async loadOlder(id: string): Promise<boolean> {
    const log = this.log(id);
    if (log.first <= 1) return false;
    this.put(withHistory(log, await this.options.history(id, log.first)));
    return this.log(id).first > 1;
  }

  /** Shown at once, kept on this device, sent when that is possible. `clientId`: of what was begun before, so that it is sent once. */
  send(id: string, parts: Part[], corrects: number | null = null, clientId?: string): Promise<OutboxItem> {
    return this.outbox.add(id, parts, this.options.clock.now(), corrects, clientId);
  }

  /** Have no more of a conversation: it is somebody else's now. */
  forget(id: string): void {
    this.behind.delete(id);
    this.put(emptyLog(id));
  }

  /** Conversations with something that was written here and refused for good. */
  readonly refused = (): readonly string[] => this.outbox.refused();

  retry(clientId: string): Promise<void> {
    return this.outbox.retry(clientId);
  }

  discard(clientId: string): Promise<void> {
    return this.outbox.discard(clientId);
  }

  /** Take a message back. Gives the refusal's code, or null; repeat with the same `clientId` when it rejects. */
  async recall(id: string, seq: number, clientId: string = crypto.randomUUID()): Promise<string | null> {
    const ack = await this.options.wire.ask("message.recall", { conversation_id: id, client_id: clientId, seq });
    if (!ack.ok) return ack.error.code;
    this.take(id, [ack.message]);
    return null;
  }

  /** All that is here was seen by the user. */
  markRead(id: string): void {
    this.put({ ...this.log(id), unread: 0 });
    this.mark("receipt.read", id);
  }

  saysTyping(id: string): void {
    this.options.wire.ask("typing", { conversation_id: id }).catch(() => undefined);
  }

  private mark(command: "receipt.delivered" | "receipt.read", id: string): void {
    const { seq } = this.log(id);
    if (seq > 0 && this.connected) this.options.wire.ask(command, { conversation_id: id, seq }).catch(() => undefined);
  }

  private async deliver(item: OutboxItem): Promise<Delivery> {
    const { conversation_id, client_id, parts, corrects } = item;
    const askedAt = this.options.clock.steady();
    let ack: Ack<"message.send">;
    try {
      ack = await this.options.wire.ask("message.send", { conversation_id, client_id, parts, corrects });
    } catch {
      return { result: "unknown" };
    }
    if (ack.ok) {
      this.options.clock.learn(Date.parse(ack.message.sent_at), askedAt);
      this.take(conversation_id, [ack.message]);
      return { result: "stored" };
    }
    const { kind, code, fields } = ack.error;
    if (kind === "unavailable" || kind === "internal" || kind === "unauthenticated") return { result: "unknown" };
    if (kind !== "rate_limited") return { result: "refused", code };
    const seconds = fields["retry_after_seconds"];
    return typeof seconds === "number" ? { result: "unknown", retryAfterMs: seconds * 1000 } : { result: "unknown" };
  }

  private take(id: string, messages: readonly Message[], after?: number): void {
    this.apply(id, messages, after);
    if (hasHole(this.log(id))) void this.sync([id]);
  }

  private apply(id: string, messages: readonly Message[], after?: number): void {
    const before = this.log(id);
    const log = withMessages(before, messages, after);
    const others = messages.filter((m) => m.seq > before.seq && m.kind === "message" && m.sender.account_id !== this.options.accountId);
    const own = messages.filter((m) => m.sender.account_id === this.options.accountId && m.client_id !== null);
    this.put({ ...log, unread: log.unread + (after === undefined ? others.length : 0) });
    for (const { client_id } of own) void this.outbox.discard(client_id ?? "");
    for (const { sender } of messages) if (sender.account_id !== null) this.stopsTyping(id, sender.account_id);
    if (log.seq > before.seq && others.length > 0) this.mark("receipt.delivered", id);
  }

  /** Ask what is missing: of these, or of all that are known here (and, at first, of all that are open). One at a time. */
  private async sync(ids: readonly string[] | null): Promise<void> {
    for (const id of ids ?? this.logs.keys()) this.behind.add(id);
    if (this.syncing || !this.connected) return;
    this.syncing = true;
    try {
      if (this.epoch === null) await this.syncOnce([]);
      while (this.behind.size > 0) {
        const batch = [...this.behind].slice(0, MOST_CURSORS);
        for (const id of batch) this.behind.delete(id);
        await this.syncOnce(batch);
      }
    } catch {
      // Cut off: the next connection syncs all of it again.
    } finally {
      this.syncing = false;
    }
  }

  private async syncOnce(ids: readonly string[]): Promise<void> {
    const cursors = Object.fromEntries(ids.map((id) => [id, this.log(id).seq]));
    const ack = await this.options.wire.ask("conversation.sync", { cursors });
    if (!ack.ok) return;
    if (this.epoch !== null && ack.epoch !== this.epoch) {
      for (const id of this.logs.keys()) {
        this.put(emptyLog(id)); // the server went back in time: what is here may not be there
        this.behind.add(id);
      }
      this.epoch = ack.epoch;
      return;
    }
    this.epoch = ack.epoch;
    for (const synced of ack.conversations) {
      const id = synced.conversation_id;
      const before = this.log(id).seq;
      this.apply(id, synced.messages, cursors[id] ?? 0);
      const log = withSync(this.log(id), synced, cursors[id] ?? 0);
      this.put(log.seq > before ? log : { ...log, early: [] }); // what the server does not know of is not waited for
      if (synced.more || hasHole(this.log(id))) this.behind.add(id);
    }
  }

  private log(id: string): Log {
    return this.logs.get(id) ?? emptyLog(id);
  }

  private put(log: Log): void {
    this.logs.set(log.conversationId, log);
    this.changed(log.conversationId);
    if (log.seq > 0 && this.options.logs !== undefined && !this.stopped) this.kept.ask(log.conversationId);
  }

  private someoneTypes(id: string, accountId: string): void {
    const here = this.typing.get(id) ?? new Map<string, ReturnType<typeof setTimeout>>();
    clearTimeout(here.get(accountId));
    here.set(accountId, setTimeout(() => this.stopsTyping(id, accountId), TYPING_MS));
    this.typing.set(id, here);
    this.changed(id);
  }

  private stopsTyping(id: string, accountId: string): void {
    const here = this.typing.get(id);
    clearTimeout(here?.get(accountId));
    if (here?.delete(accountId)) this.changed(id);
  }

  private changed(id: string): void {
    this.snapshots.delete(id);
    this.notify();
  }

  private notify(): void {
    for (const listener of this.listeners) listener();
  }
}
