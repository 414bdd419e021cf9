/** Pictures and recordings that are shown or were lately, in this page's memory alone: a list that scrolls does not fetch them again. */
import type { Api, Models } from "../api/client";

export type Rendition = Models["LinkRequest"]["rendition"];
export type Shown = { state: "loading" } | { state: "there"; url: string; blob: Blob } | { state: "failed" };

const MOST = 80;
const AGAIN_MS = 1_500;
const LOADING: Shown = { state: "loading" };

interface Entry {
  shown: Shown;
  /** How many places show it: such an entry is not dropped. */
  holders: number;
}

export class MediaCache {
  private readonly entries = new Map<string, Entry>();
  private readonly listeners = new Set<() => void>();

  constructor(
    private readonly api: Pick<Api, "call" | "bytes">,
    private readonly pause: (ms: number) => Promise<void> = (ms) => new Promise((done) => setTimeout(done, ms)),
  ) {}

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  };

  get(mediaId: string, rendition: Rendition): Shown {
    return this.entries.get(keyOf(mediaId, rendition))?.shown ?? LOADING;
  }

  /** Fetch it unless it is here or on its way, and keep it until what is returned is called. */
  hold(mediaId: string, rendition: Rendition): () => void {
    const key = keyOf(mediaId, rendition);
    const known = this.entries.get(key);
    const entry: Entry = known ?? { shown: LOADING, holders: 0 };
    entry.holders += 1;
    this.entries.delete(key); // used lately: last to go
    this.entries.set(key, entry);
    if (known === undefined || known.shown.state === "failed") void this.load(mediaId, rendition, entry);
    return () => {
      entry.holders -= 1;
      this.trim();
    };
  }

  /** What was recorded or chosen here need not be fetched. */
  keep(mediaId: string, rendition: Rendition, blob: Blob): void {
    const key = keyOf(mediaId, rendition);
    const entry = this.entries.get(key) ?? { shown: LOADING, holders: 0 };
    if (entry.shown.state === "there") return;
    entry.shown = there(blob);
    this.entries.set(key, entry);
    this.trim();
    this.notify();
  }

  clear(): void {
    for (const key of [...this.entries.keys()]) this.drop(key);
    this.notify();
  }

  private async load(mediaId: string, rendition: Rendition, entry: Entry): Promise<void> {
    entry.shown = LOADING;
    this.notify();
    // What is just being attached to its message is nobody's for a moment: once more, then it is for a person to ask again.
    const found = await this.fetch(mediaId, rendition)
      .catch(async () => {
        await this.pause(AGAIN_MS);
        return this.fetch(mediaId, rendition);
      })
      .catch(() => null);
    if (this.entries.get(keyOf(mediaId, rendition)) !== entry || isHere(entry)) return; // forgotten, or here by now
    entry.shown = found === null ? { state: "failed" } : there(found);
    this.trim();
    this.notify();
  }

  private async fetch(mediaId: string, rendition: Rendition): Promise<Blob> {
    const link = await this.api.call("create_media_link", { path: { media_id: mediaId }, body: { rendition } });
    return this.api.bytes(link.url);
  }

  private trim(): void {
    for (const [key, { holders }] of this.entries) {
      if (this.entries.size <= MOST) break;
      if (holders <= 0) this.drop(key);
    }
  }

  private drop(key: string): void {
    const shown = this.entries.get(key)?.shown;
    if (shown?.state === "there") URL.revokeObjectURL(shown.url);
    this.entries.delete(key);
  }

  private notify(): void {
    for (const listener of this.listeners) listener();
  }
}

const keyOf = (mediaId: string, rendition: Rendition): string => `${mediaId}/${rendition ?? ""}`;
const isHere = (entry: Entry): boolean => entry.shown.state === "there";
const there = (blob: Blob): Shown => ({ state: "there", url: URL.createObjectURL(blob), blob });

const caches = new WeakMap<object, MediaCache>();

/** The one cache of a client. */
export function mediaCacheOf(api: Pick<Api, "call" | "bytes">): MediaCache {
  const known = caches.get(api) ?? new MediaCache(api);
  caches.set(api, known);
  return known;
}

/** The kind of sound that this browser plays. */
export const playable = (): "opus" | "m4a" => (document.createElement("audio").canPlayType('audio/ogg; codecs="opus"') === "" ? "m4a" : "opus");
