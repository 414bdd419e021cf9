/**
 * Writes that come close together become one, at most `pauseMs` after the first of them, however many follow. What is due is written at once
 * where the page may be over (`flush`), so that a tab that dies loses nothing that was shown.
 */
export class Coalesced {
  private timer: ReturnType<typeof setTimeout> | null = null;
  private due = new Set<string>();

  constructor(
    private readonly write: (key: string) => void,
    private readonly pauseMs: number,
  ) {}

  /** `key` is to be written soon, as it is by then. */
  ask(key: string): void {
    this.due.add(key);
    this.timer ??= setTimeout(() => this.flush(), this.pauseMs);
  }

  /** What is due, now. */
  flush(): void {
    const due = this.due;
    this.drop();
    for (const key of due) this.write(key);
  }

  /** Nothing of it is to be written any more. */
  drop(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.due = new Set();
  }
}

/** Calls whenever this may be the last that the page does: phones end hidden pages without another word. */
export function onLeaving(leave: () => void): () => void {
  const hidden = (): void => {
    if (document.visibilityState === "hidden") leave();
  };
  document.addEventListener("visibilitychange", hidden);
  addEventListener("pagehide", leave);
  return () => {
    document.removeEventListener("visibilitychange", hidden);
    removeEventListener("pagehide", leave);
  };
}
