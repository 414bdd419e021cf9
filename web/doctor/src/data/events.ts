/** Live events for screens: each connection is listened to once, screens come and go. */
import { type Events, type Realtime, useRealtime } from "@yunzhen/shared";
import { useEffect, useRef } from "react";

const HEARD = ["notice", "order.changed", "critical.changed", "notices.read", "pool.changed"] as const;
type Name = (typeof HEARD)[number];
type Listener = (name: Name, body: Events[Name]) => void;

const hubs = new WeakMap<Realtime, Set<Listener>>();

function hubOf(live: Realtime): Set<Listener> {
  const known = hubs.get(live);
  if (known !== undefined) return known;
  const listeners = new Set<Listener>();
  hubs.set(live, listeners);
  for (const name of HEARD) live.on(name, (body) => [...listeners].forEach((tell) => tell(name, body)));
  return listeners;
}

export function useEvent<N extends Name>(name: N, listener: (body: Events[N]) => void): void {
  const live = useRealtime();
  const latest = useRef(listener);
  useEffect(() => {
    latest.current = listener;
  });
  useEffect(() => {
    const hub = hubOf(live);
    const tell: Listener = (told, body) => {
      if (told === name) latest.current(body as Events[N]);
    };
    hub.add(tell);
    return () => void hub.delete(tell);
  }, [live, name]);
}
