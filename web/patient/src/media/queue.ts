/**
 * Pictures and voice clips on their way: kept on this device until the message that carries them is in the outbox, so that nothing that was
 * said is lost with the network or the page. Each keeps one client id over all tries, and what was uploaded is not uploaded again: the
 * server stores the message once.
 */
import { type Api, ApiError, type Part, useRealtime, useRuntime } from "@yunzhen/shared";
import { type DBSchema, type IDBPDatabase, openDB } from "idb";
import { useEffect, useSyncExternalStore } from "react";
import { mediaCache, playable } from "./cache";
import { lightened, upload } from "./upload";

export interface Piece {
  kind: "image" | "voice";
  blob: Blob;
  media_id: string | null;
}

export interface Waiting {
  client_id: string;
  account_id: string;
  conversation_id: string;
  pieces: Piece[];
  written_at: number;
  state: "queued" | "failed";
  code: string | null;
}

interface Kept extends DBSchema {
  waiting: { key: string; value: Waiting };
}

export interface Sender {
  send(conversationId: string, parts: Part[], corrects: null, clientId: string): Promise<unknown>;
}

export interface WaitingStore {
  list(): Promise<Waiting[]>;
  put(item: Waiting): Promise<void>;
  remove(clientId: string): Promise<void>;
  clear(): Promise<void>;
}

export class MediaQueue {
  private items: readonly Waiting[] = [];
  private readonly progress = new Map<string, number>();
  private readonly listeners = new Set<() => void>();
  private draining = false;
  private sender: Sender | null = null;

  constructor(
    private readonly store: WaitingStore,
    private readonly put: (piece: Piece, onProgress: (share: number) => void) => Promise<string>,
  ) {}

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  };

  readonly all = (): readonly Waiting[] => this.items;

  /** From 0 to 1. */
  progressOf(clientId: string): number {
    return this.progress.get(clientId) ?? 0;
  }

  async load(accountId: string): Promise<void> {
    const kept = (await this.store.list()).filter((item) => item.account_id === accountId && !this.items.some((each) => each.client_id === item.client_id));
    this.set([...kept, ...this.items].sort((a, b) => a.written_at - b.written_at));
  }

  async add(item: Omit<Waiting, "state" | "code">): Promise<void> {
    const waiting: Waiting = { ...item, state: "queued", code: null };
    this.set([...this.items, waiting]);
    await this.store.put(waiting).catch(() => undefined); // a private window keeps nothing: it is sent all the same
    void this.drain();
  }

  async retry(clientId: string): Promise<void> {
    await this.change(clientId, { state: "queued", code: null });
    void this.drain();
  }

  async discard(clientId: string): Promise<void> {
    this.set(this.items.filter((item) => item.client_id !== clientId));
    await this.store.remove(clientId).catch(() => undefined);
  }

  /** With whom to send; null while there is no connection. */
  connect(sender: Sender | null): void {
    this.sender = sender;
    void this.drain();
  }

  async clear(): Promise<void> {
    this.set([]);
    await this.store.clear().catch(() => undefined);
  }

  /** One at a time, in the order of writing. */
  private async drain(): Promise<void> {
    if (this.draining) return;
    this.draining = true;
    try {
      for (let item = this.next(); item !== undefined && this.sender !== null; item = this.next()) {
        if (!(await this.carry(item, this.sender))) return;
      }
    } finally {
      this.draining = false;
    }
  }

  private next(): Waiting | undefined {
    return this.items.find((item) => item.state === "queued");
  }

  /** False where it has to wait for a connection. */
  private async carry(item: Waiting, sender: Sender): Promise<boolean> {
    const pieces = [...item.pieces];
    try {
      for (const [index, piece] of pieces.entries()) {
        if (piece.media_id !== null) continue;
        const mediaId = await this.put(piece, (share) => {
          this.progress.set(item.client_id, (index + share) / pieces.length);
          this.notify();
        });
        pieces[index] = { ...piece, media_id: mediaId };
        await this.change(item.client_id, { pieces: [...pieces] });
      }
      const parts = pieces.map(({ kind, media_id }): Part => ({ kind, media_id: media_id ?? "" }));
      await sender.send(item.conversation_id, parts, null, item.client_id);
      await this.discard(item.client_id);
      return true;
    } catch (error) {
      if (error instanceof ApiError && error.mayPass) return false;
      await this.change(item.client_id, { state: "failed", code: error instanceof ApiError ? error.code : "unknown" });
      return true;
    }
  }

  private async change(clientId: string, change: Partial<Waiting>): Promise<void> {
    const known = this.items.find((item) => item.client_id === clientId);
    if (known === undefined) return;
    const changed = { ...known, ...change };
    this.set(this.items.map((item) => (item.client_id === clientId ? changed : item)));
    await this.store.put(changed).catch(() => undefined);
  }

  private set(items: readonly Waiting[]): void {
    this.items = items;
    this.notify();
  }

  private notify(): void {
    for (const listener of this.listeners) listener();
  }
}

class BrowserStore implements WaitingStore {
  private opened: Promise<IDBPDatabase<Kept>> | null = null;

  list = async (): Promise<Waiting[]> => (await this.open()).getAll("waiting");
  put = async (item: Waiting): Promise<void> => {
    await (await this.open()).put("waiting", item);
  };
  remove = async (clientId: string): Promise<void> => {
    await (await this.open()).delete("waiting", clientId);
  };
  clear = async (): Promise<void> => (await this.open()).clear("waiting");

  private open(): Promise<IDBPDatabase<Kept>> {
    this.opened ??= openDB<Kept>("yunzhen-patient-media", 1, {
      upgrade(database) {
        database.createObjectStore("waiting", { keyPath: "client_id" });
      },
    });
    return this.opened;
  }
}

let queue: MediaQueue | null = null;

/** The one queue of this page. */
export function mediaQueueOf(api: Api): MediaQueue {
  queue ??= new MediaQueue(new BrowserStore(), async (piece, onProgress) => {
    const blob = piece.kind === "image" ? await lightened(piece.blob) : piece.blob;
    const { media_id } = await upload(api, blob, "message", onProgress);
    mediaCache.keep(media_id, piece.kind === "image" ? "thumbnail" : playable(), piece.blob); // it is here: nothing need be fetched
    return media_id;
  });
  return queue;
}

const RETRY_MS = 5_000;

/** Runs the queue while somebody is signed in; forgets everything when they sign out. */
export function useMediaQueue(): void {
  const { api, session } = useRuntime();
  const live = useRealtime();
  const connected = useSyncExternalStore(live.subscribe, live.isConnected);
  useEffect(() => {
    const media = mediaQueueOf(api);
    const state = session.getState();
    if (state.status === "in") void media.load(state.account.account_id).catch(() => undefined);
    return session.subscribe(() => {
      const now = session.getState();
      if (now.status !== "out") return;
      mediaCache.clear();
      if (now.reason === null) void media.clear();
    });
  }, [api, session]);
  useEffect(() => {
    const media = mediaQueueOf(api);
    media.connect(connected ? live : null);
    const timer = setInterval(() => media.connect(connected ? live : null), RETRY_MS);
    return () => clearInterval(timer);
  }, [api, connected, live]);
}

export function useWaiting(conversationId: string): { items: readonly Waiting[]; queue: MediaQueue } {
  const { api } = useRuntime();
  const media = mediaQueueOf(api);
  const all = useSyncExternalStore(media.subscribe, media.all);
  return { items: all.filter((item) => item.conversation_id === conversationId), queue: media };
}
