/**
 * What goes along with the reply that is being written: cards, and the message that it corrects. Held per order as long as the sign-in
 * lasts, as its words are, so that looking at another patient loses nothing.
 */
import { type Message, type Part, type Realtime, useRealtime } from "@yunzhen/shared";
import { useMemo, useSyncExternalStore } from "react";

/** A card that goes along with the reply that is being written. `title`: what it is to the doctor. */
export interface Card {
  part: Extract<Part, { kind: "card" }>;
  title: string;
}

export interface Attached {
  readonly cards: readonly Card[];
  readonly corrected: Message | null;
}

const NOTHING: Attached = { cards: [], corrected: null };

export class AttachedHolder {
  private current = NOTHING;
  private readonly listeners = new Set<() => void>();

  readonly get = (): Attached => this.current;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  };

  /** One card of a title: attached again, it takes the other's place. */
  readonly add = (card: Card): void => this.put({ ...this.current, cards: [...this.current.cards.filter(({ title }) => title !== card.title), card] });

  readonly remove = (card: Card): void => this.put({ ...this.current, cards: this.current.cards.filter((each) => each !== card) });

  readonly correct = (corrected: Message | null): void => this.put({ ...this.current, corrected });

  readonly clear = (): void => this.put(NOTHING);

  private put(attached: Attached): void {
    this.current = attached;
    for (const listener of this.listeners) listener();
  }
}

const kept = new WeakMap<Realtime, Map<string, AttachedHolder>>();

export function useAttached(orderId: string): [Attached, AttachedHolder] {
  const live = useRealtime();
  const holder = useMemo(() => {
    const all = kept.get(live) ?? new Map<string, AttachedHolder>();
    kept.set(live, all);
    const known = all.get(orderId) ?? new AttachedHolder();
    all.set(orderId, known);
    return known;
  }, [live, orderId]);
  return [useSyncExternalStore(holder.subscribe, holder.get), holder];
}
