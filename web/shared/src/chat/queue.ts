/**
 * Messages with pictures and recordings on their way: kept on this device until what they carry is on the server and they are in the outbox,
 * so that nothing that was said is lost with the network or the page. Each keeps one client id over all tries, and what was uploaded is not
 * uploaded again: the server stores the message once.
 */
import { useCallback, useEffect, useMemo, useSyncExternalStore } from "react";
import type { Api } from "../api/client";
import { ApiError } from "../api/errors";
import { useRealtime, useRuntime, useSession } from "../react/context";
import type { Runtime } from "../react/runtime";
import type { Part } from "../socket/outbox";
import { mediaCacheOf, playable } from "./cache";
import { lightened, upload } from "./upload";

export interface FilePiece {
  kind: "image" | "voice";
  blob: Blob;
  durationMs: number | null;
  /** Null until it is on the server. */
  media_id: string | null;
}

export type CardPiece = Extract<Part, { kind: "card" }>;
export type Piece = { kind: "text"; text: string } | CardPiece | FilePiece;

const isFile = (piece: Piece): piece is FilePiece => piece.kind === "image" || piece.kind === "voice";

export interface Waiting {
  client_id: string;
  account_id: string;
  conversation_id: string;
  pieces: Piece[];
  corrects: number | null;
  written_at: number;
  state: "queued" | "failed";
  code: string | null;
}

export interface Sender {
  send(conversationId: string, parts: Part[], corrects: number | null, clientId: string): Promise<unknown>;
}

export interface WaitingStore {
  list(accountId: string): Promise<Waiting[]>;
  put(item: Waiting): Promise<void>;
  remove(clientId: string): Promise<void>;
}

type Put = (piece: FilePiece, onProgress: (share: number) => void) => Promise<string>;

export class MediaQueue {
  private items: readonly Waiting[] = [];
  private readonly progress = new Map<string, number>();
  private readonly listeners = new Set<() => void>();
  private draining = false;
  private sender: Sender | null = null;

  constructor(
    private readonly store: WaitingStore,
    private readonly put: Put,
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

  /** Whether something of this conversation waits here: what is written after it goes behind it. */
  holds(conversationId: string): boolean {
    return this.items.some((item) => item.conversation_id === conversationId && item.state === "queued");
  }

  /** Conversations in which something was refused for good. */
  failed(): string[] {
    return [...new Set(this.items.filter((item) => item.state === "failed").map((item) => item.conversation_id))];
  }

  async load(accountId: string): Promise<void> {
    const kept = (await this.store.list(accountId)).filter((item) => !this.items.some((each) => each.client_id === item.client_id));
    this.set([...kept, ...this.items].sort((a, b) => a.written_at - b.written_at));
    void this.drain();
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
    this.progress.delete(clientId);
    await this.store.remove(clientId).catch(() => undefined);
  }

  /** With whom to send; null while there is no connection. */
  connect(sender: Sender | null): void {
    this.sender = sender;
    void this.drain();
  }

  /** Somebody signed out: nothing of theirs is held here. What the device keeps is the device store's to forget. */
  forget(): void {
    this.sender = null;
    this.progress.clear();
    this.set([]);
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
        if (!isFile(piece) || piece.media_id !== null) continue;
        const mediaId = await this.put(piece, (share) => {
          this.progress.set(item.client_id, (index + share) / pieces.length);
          this.notify();
        });
        pieces[index] = { ...piece, media_id: mediaId };
        await this.change(item.client_id, { pieces: [...pieces] });
      }
      if (!this.items.some((each) => each.client_id === item.client_id)) return true; // given up, or signed out, meanwhile
      await sender.send(item.conversation_id, pieces.map(partOf), item.corrects, item.client_id);
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

function partOf(piece: Piece): Part {
  return isFile(piece) ? { kind: piece.kind, media_id: piece.media_id ?? "" } : piece;
}

const queues = new WeakMap<Runtime, MediaQueue>();

/** The one queue of this page. */
export function mediaQueueOf(runtime: Runtime): MediaQueue {
  const known = queues.get(runtime) ?? new MediaQueue(runtime.store.waiting, (piece, onProgress) => putOn(runtime.api, piece, onProgress));
  queues.set(runtime, known);
  return known;
}

async function putOn(api: Api, piece: FilePiece, onProgress: (share: number) => void): Promise<string> {
  const blob = piece.kind === "image" ? await lightened(piece.blob) : piece.blob;
  const { media_id } = await upload(api, blob, "message", onProgress);
  mediaCacheOf(api).keep(media_id, piece.kind === "image" ? "thumbnail" : playable(), piece.blob); // it is here: nothing need be fetched
  return media_id;
}

const RETRY_MS = 5_000;

/** Runs the queue while somebody is signed in; an app has this once, around its screens. */
export function useMediaQueue(): void {
  const runtime = useRuntime();
  const live = useRealtime();
  const connected = useSyncExternalStore(live.subscribe, live.isConnected);
  useEffect(() => {
    const queue = mediaQueueOf(runtime);
    const state = runtime.session.getState();
    if (state.status === "in") void queue.load(state.account.account_id).catch(() => undefined);
    return runtime.session.subscribe(() => {
      if (runtime.session.getState().status !== "out") return;
      mediaCacheOf(runtime.api).clear();
      queue.forget();
    });
  }, [runtime]);
  useEffect(() => {
    const queue = mediaQueueOf(runtime);
    queue.connect(connected ? live : null);
    const timer = setInterval(() => queue.connect(connected ? live : null), RETRY_MS);
    return () => clearInterval(timer);
  }, [runtime, connected, live]);
}

/** What waits here to be sent in one conversation, in the order of writing. */
export function useWaiting(conversationId: string): { waiting: readonly Waiting[]; queue: MediaQueue } {
  const queue = mediaQueueOf(useRuntime());
  const all = useSyncExternalStore(queue.subscribe, queue.all);
  const waiting = useMemo(() => all.filter((item) => item.conversation_id === conversationId), [all, conversationId]);
  return { waiting, queue };
}

/** Conversations with something that was written here, did not reach the other side and will not by itself. */
export function useUnsent(): ReadonlySet<string> {
  const live = useRealtime();
  const queue = mediaQueueOf(useRuntime());
  const refused = useSyncExternalStore(live.subscribe, () => live.refused().join());
  const failed = useSyncExternalStore(queue.subscribe, () => queue.failed().join());
  return useMemo(() => new Set([refused, failed].flatMap((ids) => ids.split(",")).filter((id) => id !== "")), [refused, failed]);
}

/** Sends one message: words at once, files when they are on the server, and always in the order of writing. */
export function useSend(conversationId: string): (pieces: Piece[], corrects?: number | null) => void {
  const { clock } = useRuntime();
  const live = useRealtime();
  const session = useSession();
  const { queue } = useWaiting(conversationId);
  const account = session.status === "in" ? session.account.account_id : "";
  return useCallback((pieces, corrects = null) => {
    const words = !pieces.some(isFile);
    if (words && !queue.holds(conversationId)) {
      void live.send(conversationId, pieces.map(partOf), corrects).catch(() => undefined); // shown at once; what cannot be kept is still sent
      return;
    }
    const client_id = crypto.randomUUID();
    void queue.add({ client_id, account_id: account, conversation_id: conversationId, pieces, corrects, written_at: clock.now() });
  }, [account, clock, conversationId, live, queue]);
}
