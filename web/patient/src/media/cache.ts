/** Pictures and voice clips that were shown lately, in this page's memory alone: a list that scrolls does not fetch them again. */
import { type Api, type Models, useRuntime } from "@yunzhen/shared";
import { useEffect, useState, useSyncExternalStore } from "react";

type Rendition = Models["LinkRequest"]["rendition"];
export type Shown = { state: "loading" } | { state: "there"; url: string; blob: Blob } | { state: "failed" };

/** Which form of a voice clip this browser plays: nearly all play M4A. */
export const playable = (): "m4a" | "opus" => (new Audio().canPlayType('audio/mp4; codecs="mp4a.40.2"') === "" ? "opus" : "m4a");

const MOST = 80;
const AGAIN_MS = 1_500;
const LOADING: Shown = { state: "loading" };

class MediaCache {
  private readonly entries = new Map<string, Shown>();
  private readonly listeners = new Set<() => void>();

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  };

  get(key: string): Shown {
    return this.entries.get(key) ?? LOADING;
  }

  /** Fetch it unless it is here or on its way. */
  async want(api: Api, mediaId: string, rendition: Rendition): Promise<void> {
    const key = keyOf(mediaId, rendition);
    const known = this.entries.get(key);
    if (known !== undefined && known.state !== "failed") {
      this.entries.delete(key); // used lately: last to go
      this.entries.set(key, known);
      return;
    }
    this.put(key, LOADING);
    // What is just being attached to its message is nobody's for a moment: once more, then it is for a person to ask again.
    const found = await this.fetch(api, mediaId, rendition).catch(
      () => new Promise<Blob>((done, fail) => setTimeout(() => void this.fetch(api, mediaId, rendition).then(done, fail), AGAIN_MS)),
    ).catch(() => null);
    this.put(key, found === null ? { state: "failed" } : there(found));
  }

  private async fetch(api: Api, mediaId: string, rendition: Rendition): Promise<Blob> {
    const link = await api.call("create_media_link", { path: { media_id: mediaId }, body: { rendition } });
    return api.bytes(link.url);
  }

  /** What was recorded or chosen here need not be fetched. */
  keep(mediaId: string, rendition: Rendition, blob: Blob): void {
    this.put(keyOf(mediaId, rendition), there(blob));
  }

  clear(): void {
    for (const key of this.entries.keys()) this.drop(key);
  }

  private put(key: string, shown: Shown): void {
    this.drop(key);
    this.entries.set(key, shown);
    for (const oldest of this.entries.keys()) {
      if (this.entries.size <= MOST) break;
      this.drop(oldest);
    }
    for (const listener of this.listeners) listener();
  }

  private drop(key: string): void {
    const known = this.entries.get(key);
    if (known?.state === "there") URL.revokeObjectURL(known.url);
    this.entries.delete(key);
  }
}

const keyOf = (mediaId: string, rendition: Rendition): string => `${mediaId}/${rendition ?? ""}`;
const there = (blob: Blob): Shown => ({ state: "there", url: URL.createObjectURL(blob), blob });

export const mediaCache = new MediaCache();

export function useShown(mediaId: string, rendition: Rendition): Shown & { retry: () => void } {
  const { api } = useRuntime();
  const [tries, setTries] = useState(0);
  const shown = useSyncExternalStore(mediaCache.subscribe, () => mediaCache.get(keyOf(mediaId, rendition)));
  useEffect(() => void mediaCache.want(api, mediaId, rendition), [api, mediaId, rendition, tries]);
  return { ...shown, retry: () => setTries(tries + 1) };
}
