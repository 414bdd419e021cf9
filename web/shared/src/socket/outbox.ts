/**
 * What was written and is not acknowledged yet. It is stored before it is shown or sent, so that it outlives the page; each item keeps its
 * client id over all tries, so that the server stores it once. Items of one conversation leave in the order in which they were written.
 */
import type { Schemas } from "./schema";

export type Part = Schemas["SendBody"]["parts"][number];

export interface OutboxItem {
  client_id: string;
  account_id: string;
  conversation_id: string;
  parts: Part[];
  corrects: number | null;
  /** Order of writing on this device. */
  order: number;
  /** When it was written, for people (server's time, ms). */
  written_at: number;
  /** `failed`: refused for good; `code` says why. The user tries again or discards it. */
  state: "queued" | "failed";
  code: string | null;
}

/** Where items outlive the page. `outboxIn` of `store.ts` is the one of browsers. */
export interface OutboxStore {
  list(accountId: string): Promise<OutboxItem[]>;
  put(item: OutboxItem): Promise<void>;
  remove(clientId: string): Promise<void>;
}

/** What became of one try: stored; refused for good; or unknown (cut off, too fast, down), to be tried again. */
export type Delivery = { result: "stored" } | { result: "refused"; code: string } | { result: "unknown"; retryAfterMs?: number };

export type Deliver = (item: OutboxItem) => Promise<Delivery>;

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;

export class Outbox {
  private items: OutboxItem[] = [];
  private running = new Set<string>();
  private online = false;
  private readonly ready: Promise<void>;

  constructor(
    private readonly accountId: string,
    private readonly store: OutboxStore,
    private readonly deliver: Deliver,
    private readonly changed: (conversationId: string) => void,
    private readonly pause: (ms: number) => Promise<void> = (ms) => new Promise((done) => setTimeout(done, ms)),
  ) {
    this.ready = this.load();
  }

  /** Of one conversation, in the order of writing. */
  of(conversationId: string): readonly OutboxItem[] {
    return this.items.filter((item) => item.conversation_id === conversationId);
  }

  /** Conversations in which something was refused for good, and waits for a person to look at it. */
  refused(): string[] {
    return [...new Set(this.items.filter((item) => item.state === "failed").map((item) => item.conversation_id))];
  }

  /** Keep it, show it, send it when that is possible. Resolves when it is stored on this device. A `clientId` that waits here already
   * changes nothing. */
  async add(
    conversationId: string,
    parts: Part[],
    writtenAt: number,
    corrects: number | null = null,
    clientId: string = crypto.randomUUID(),
  ): Promise<OutboxItem> {
    await this.ready;
    const waiting = this.items.find((each) => each.client_id === clientId);
    if (waiting !== undefined) return waiting;
    const item: OutboxItem = {
      client_id: clientId,
      account_id: this.accountId,
      conversation_id: conversationId,
      parts,
      corrects,
      order: (this.items.at(-1)?.order ?? 0) + 1,
      written_at: writtenAt,
      state: "queued",
      code: null,
    };
    this.items.push(item);
    this.changed(conversationId);
    await this.store.put(item);
    void this.drain(conversationId);
    return item;
  }

  /** Try a refused one again, under the same id. */
  async retry(clientId: string): Promise<void> {
    const item = this.items.find((each) => each.client_id === clientId);
    if (item?.state !== "failed") return;
    await this.update(item, { state: "queued", code: null });
    void this.drain(item.conversation_id);
  }

  /** Forget one: the user gave it up, or it was seen in the log. */
  async discard(clientId: string): Promise<void> {
    const item = this.items.find((each) => each.client_id === clientId);
    if (item === undefined) return;
    this.items = this.items.filter((each) => each !== item);
    this.changed(item.conversation_id);
    await this.store.remove(clientId);
  }

  /** Whether sending can succeed. Going online sends what waits. */
  setOnline(online: boolean): void {
    this.online = online;
    if (online) void this.ready.then(() => this.drainAll());
  }

  private drainAll(): void {
    for (const id of new Set(this.items.map((item) => item.conversation_id))) void this.drain(id);
  }

  /** One at a time and in order: what was written first arrives first, and nothing is under way twice. */
  private async drain(conversationId: string): Promise<void> {
    if (this.running.has(conversationId)) return;
    this.running.add(conversationId);
    try {
      let pauseMs = FIRST_PAUSE_MS;
      for (let item = this.next(conversationId); item !== undefined && this.online; item = this.next(conversationId)) {
        const delivery = await this.deliver(item);
        if (delivery.result === "stored") await this.discard(item.client_id);
        else if (delivery.result === "refused") await this.update(item, { state: "failed", code: delivery.code });
        else {
          await this.pause(delivery.retryAfterMs ?? pauseMs);
          pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
          continue;
        }
        pauseMs = FIRST_PAUSE_MS;
      }
    } finally {
      this.running.delete(conversationId);
    }
    // What became possible between the last look and now.
    if (this.online && this.next(conversationId) !== undefined) void this.drain(conversationId);
  }

  private next(conversationId: string): OutboxItem | undefined {
    return this.items.find((item) => item.conversation_id === conversationId && item.state === "queued");
  }

  private async update(item: OutboxItem, change: Partial<OutboxItem>): Promise<void> {
    const changed = { ...item, ...change };
    this.items = this.items.map((each) => (each.client_id === item.client_id ? changed : each));
    this.changed(item.conversation_id);
    await this.store.put(changed);
  }

  private async load(): Promise<void> {
    const kept = await this.store.list(this.accountId);
    this.items = [...kept.sort((a, b) => a.order - b.order), ...this.items];
    for (const id of new Set(kept.map((item) => item.conversation_id))) this.changed(id);
    if (this.online) this.drainAll();
  }
}
