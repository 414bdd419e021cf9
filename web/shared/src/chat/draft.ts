/**
 * What is being written to one conversation: words, pictures and recordings, all on this device until they are sent. Held in memory while
 * the page lives, so that looking at another conversation loses nothing.
 */
import { useMemo, useSyncExternalStore } from "react";
import { useRuntime } from "../react/context";
import type { Runtime } from "../react/runtime";
import type { CardPiece, Piece } from "./queue";

export interface DraftFile {
  readonly id: string;
  readonly kind: "image" | "voice";
  /** Of what is on this device, to show it. */
  readonly url: string;
  readonly blob: Blob;
  readonly durationMs: number | null;
}

export interface Draft {
  readonly text: string;
  readonly files: readonly DraftFile[];
}

export const MOST_PARTS = 9;
export const MOST_LETTERS = 4_000;
const EMPTY: Draft = { text: "", files: [] };

/** Words first, then the rest in the order of adding; null while there is nothing to send. */
export function piecesOf(draft: Draft, cards: readonly CardPiece[] = []): Piece[] | null {
  const text = draft.text.trim();
  const files = draft.files.map(({ kind, blob, durationMs }): Piece => ({ kind, blob, durationMs, media_id: null }));
  const pieces: Piece[] = [...(text === "" ? [] : [{ kind: "text", text } as const]), ...files, ...cards];
  return pieces.length === 0 || pieces.length > MOST_PARTS ? null : pieces;
}

export class DraftHolder {
  private current: Draft = EMPTY;
  private readonly listeners = new Set<() => void>();

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
    const file: DraftFile = { id: crypto.randomUUID(), kind, blob, durationMs, url: URL.createObjectURL(blob) };
    this.put({ ...this.current, files: [...this.current.files, file] });
  }

  remove(id: string): void {
    const file = this.current.files.find((each) => each.id === id);
    if (file === undefined) return;
    URL.revokeObjectURL(file.url);
    this.put({ ...this.current, files: this.current.files.filter((each) => each.id !== id) });
  }

  clear(): void {
    for (const file of this.current.files) URL.revokeObjectURL(file.url);
    this.put(EMPTY);
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
    const known = all.get(conversationId) ?? new DraftHolder();
    all.set(conversationId, known);
    return known;
  }, [runtime, conversationId]);
  return [useSyncExternalStore(holder.subscribe, holder.get), holder];
}
