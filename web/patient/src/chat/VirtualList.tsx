import { type ReactNode, useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";
import { spanOf } from "./windowing";

interface VirtualListProps<T> {
  items: readonly T[];
  keyOf: (item: T) => string;
  children: (item: T) => ReactNode;
  label: string;
  /** Asked when the beginning comes into sight. */
  onStart?: (() => void) | undefined;
  /** Told when the end is in sight, or no more. */
  onEnd?: (atEnd: boolean) => void;
  /** Another value brings the end into sight. */
  jump: number;
}

const GUESS_PX = 84;
const SPARE_PX = 700;
const NEAR_PX = 48;

/** Shows only what is in sight of a list that may be thousands long, and stays at its end while it grows there. The scroller counts from
 * below (`column-reverse`), so that rows that are added or measured above leave what is seen where it is. */
export function VirtualList<T>({ items, keyOf, children, label, onStart, onEnd, jump }: VirtualListProps<T>): ReactNode {
  const scroller = useRef<HTMLDivElement>(null);
  const above = useRef<HTMLDivElement>(null);
  const below = useRef<HTMLDivElement>(null);
  const heights = useRef(new Map<string, number>());
  const rows = useRef(new Map<Element, string>());
  const [place, setPlace] = useState({ fromBottom: 0, view: 800 });
  const [, setMeasured] = useState(0);
  const lastKey = items.length === 0 ? null : keyOf(items[items.length - 1] as T);
  const height = useCallback((index: number) => heights.current.get(keyOf(items[index] as T)) ?? GUESS_PX, [items, keyOf]);
  // eslint-disable-next-line react-hooks/refs -- heights are measured from what is shown; a measurement renders again
  const span = spanOf(items.length, height, place.fromBottom, place.view, SPARE_PX);

  const look = useCallback(() => {
    const here = scroller.current;
    if (here === null) return;
    const fromBottom = Math.max(0, -here.scrollTop);
    setPlace((now) => (Math.abs(now.fromBottom - fromBottom) < 40 && now.view === here.clientHeight ? now : { fromBottom, view: here.clientHeight }));
    onEnd?.(fromBottom < NEAR_PX);
    if (here.scrollHeight - here.clientHeight - fromBottom < SPARE_PX) onStart?.();
  }, [onEnd, onStart]);

  const watcher = useRef<ResizeObserver | null>(null);
  useLayoutEffect(() => {
    watcher.current = new ResizeObserver((entries) => {
      let changed = false;
      for (const { target } of entries) {
        const key = rows.current.get(target);
        const px = (target as HTMLElement).offsetHeight;
        if (key === undefined || px === 0 || heights.current.get(key) === px) continue;
        heights.current.set(key, px);
        changed = true;
      }
      if (changed) setMeasured((n) => n + 1);
      look();
    });
    if (scroller.current !== null) watcher.current.observe(scroller.current);
    for (const row of rows.current.keys()) watcher.current.observe(row);
    return () => watcher.current?.disconnect();
  }, [look]);

  const row = useCallback((key: string) => (element: HTMLDivElement | null) => {
    if (element === null) return undefined;
    rows.current.set(element, key);
    heights.current.set(key, element.offsetHeight || GUESS_PX);
    watcher.current?.observe(element);
    return () => {
      rows.current.delete(element);
      watcher.current?.unobserve(element);
    };
  }, []);

  // What grows at the end while one reads further up must not push that away.
  const before = useRef<string | null>(null);
  useLayoutEffect(() => {
    const here = scroller.current;
    const last = before.current;
    before.current = lastKey;
    if (here === null || last === null || last === lastKey || -here.scrollTop < NEAR_PX) return;
    const index = items.findLastIndex((item) => keyOf(item) === last);
    let grown = 0;
    for (let at = index + 1; index >= 0 && at < items.length; at += 1) grown += height(at);
    here.scrollTop -= grown;
  }, [height, items, keyOf, lastKey]);

  useLayoutEffect(() => {
    if (above.current !== null) above.current.style.height = `${span.above}px`;
    if (below.current !== null) below.current.style.height = `${span.below}px`;
  });
  useEffect(() => {
    if (scroller.current !== null) scroller.current.scrollTop = 0;
  }, [jump]);
  useEffect(look, [look, items.length]);

  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reached by keyboard
    <div className="p-scroller" ref={scroller} onScroll={look} role="log" aria-label={label} tabIndex={0}>
      <div className="p-scroller__inner">
        <div ref={above} />
        {items.slice(span.start, span.end).map((item) => {
          const key = keyOf(item);
          return <div key={key} ref={row(key)} className="p-scroller__row">{children(item)}</div>;
        })}
        <div ref={below} />
      </div>
    </div>
  );
}
