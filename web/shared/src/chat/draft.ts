/**
 * What is being written to one conversation: words, pictures and recordings, which are uploaded as soon as they are added. Held in memory
 * while the page lives, so that looking at another conversation loses nothing.
 */
import { useMemo, useSyncExternalStore } from "react";
import type { Api } from "../api/client";
import { ApiError } from "../api/errors";
import { useRuntime } from "../react/context";
import type { Runtime } from "../react/runtime";
import type { Part } from "../socket/outbox";

export interface DraftFile {
  readonly id: string;
  readonly kind: "image" | "voice";
  /** Of what is on this device, to show it. */
  readonly url: string;
  readonly blob: Blob;
  readonly durationMs: number | null;
  readonly state: "uploading" | "ready" | "failed";
  readonly mediaId: string | null;
  readonly code: string | null;
}

export interface Draft {
  readonly text: string;
  readonly files: readonly DraftFile[];
}

export const MOST_PARTS = 9;
export const MOST_LETTERS = 4_000;
const EMPTY: Draft = { text: "", files: [] };

/** Words first, then the rest in the order of adding; null while nothing is there or something is not uploaded. */
export function partsOf(draft: Draft): Part[] | null {
  const text = draft.text.trim();
  const files = draft.files.map(({ kind, mediaId }): Part | null => (mediaId === null ? null : { kind, media_id: mediaId }));
  const parts = [...(text === "" ? [] : [{ kind: "text", text } as const]), ...files];
  const whole = parts.filter((part) => part !== null);
  return whole.length === 0 || whole.length < parts.length || whole.length > MOST_PARTS ? null : whole;
}

export class DraftHolder {
  private current: Draft = EMPTY;
  private readonly listeners = new Set<() => void>();

  constructor(private readonly api: Pick<Api, "upload">) {}

  readonly get = (): Draft => this.current;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  };

  setText(text: string): void {
    this.put({ ...this.current, text: text.slice(0, MOST_LETTERS) });
  }

  /** Insert a ready-made sentence behind what is written. */
  insert(text: string): void {
    const before = this.current.text.trimEnd();
    this.setText(before === "" ? text : `${before}\n${text}`);
  }

  /** How many more files fit beside the words. */
  room(): number {
    return MOST_PARTS - 1 - this.current.files.length;
  }

  add(kind: DraftFile["kind"], blob: Blob, durationMs: number | null = null): void {
    if (this.room() <= 0) return;
    const file: DraftFile = {
      id: crypto.randomUUID(), kind, blob, durationMs, url: URL.createObjectURL(blob), state: "uploading", mediaId: null, code: null,
    };
    this.put({ ...this.current, files: [...this.current.files, file] });
    void this.upload(file);
  }

  remove(id: string): void {
    const file = this.current.files.find((each) => each.id === id);
    if (file === undefined) return;
    URL.revokeObjectURL(file.url);
    this.put({ ...this.current, files: this.current.files.filter((each) => each.id !== id) });
  }

  retry(id: string): void {
    const file = this.current.files.find((each) => each.id === id);
    if (file?.state !== "failed") return;
    this.change(id, { state: "uploading", code: null });
    void this.upload(file);
  }

  clear(): void {
    for (const file of this.current.files) URL.revokeObjectURL(file.url);
    this.put(EMPTY);
  }

  private async upload(file: DraftFile): Promise<void> {
    try {
      const kept = await this.api.upload(file.blob, "message");
      this.change(file.id, { state: "ready", mediaId: kept.media_id });
    } catch (error) {
      this.change(file.id, { state: "failed", code: error instanceof ApiError ? error.code : "unknown" });
    }
  }

  private change(id: string, change: Partial<DraftFile>): void {
    this.put({ ...this.current, files: this.current.files.map((each) => (each.id === id ? { ...each, ...change } : each)) });
  }

  private put(draft: Draft): void {
    this.current = draft;
    for (const listener of this.listeners) listener();
  }
}

const kept = new WeakMap<Runtime, Map<string, DraftHolder>>();

/** The draft of a conversation, the same one whenever it is shown again. */
export function useDraft(conversationId: string): [Draft, DraftHolder] {
  const runtime = useRuntime();
  const holder = useMemo(() => {
    const all = kept.get(runtime) ?? new Map<string, DraftHolder>();
    kept.set(runtime, all);
    const known = all.get(conversationId) ?? new DraftHolder(runtime.api);
    all.set(conversationId, known);
    return known;
  }, [runtime, conversationId]);
  return [useSyncExternalStore(holder.subscribe, holder.get), holder];
}
