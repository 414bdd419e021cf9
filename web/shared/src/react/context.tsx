/** The hooks of a screen. A screen sees the runtime only through them. */
import { QueryClientProvider } from "@tanstack/react-query";
import { type ReactNode, createContext, use, useEffect, useMemo, useState, useSyncExternalStore } from "react";
import type { Api, Models } from "../api/client";
import type { SessionState } from "../api/session";
import { type SharedKey, type Translate, type Words, explain, translator } from "../i18n";
import type { Conversation, Realtime } from "../socket/realtime";
import type { Preferences } from "../theme";
import type { Runtime } from "./runtime";

interface Given {
  runtime: Runtime;
  words: Words<string>;
}

const Context = createContext<Given | null>(null);

export function RuntimeProvider({ runtime, words, children }: Given & { children: ReactNode }): ReactNode {
  const given = useMemo(() => ({ runtime, words }), [runtime, words]);
  return (
    <Context value={given}>
      <QueryClientProvider client={runtime.queries}>{children}</QueryClientProvider>
    </Context>
  );
}

function useGiven(): Given {
  const given = use(Context);
  if (given === null) throw new Error("outside of RuntimeProvider");
  return given;
}

export const useRuntime = (): Runtime => useGiven().runtime;
export const useApi = (): Api => useGiven().runtime.api;

export function usePreferences(): Preferences {
  const { preferences } = useRuntime();
  return useSyncExternalStore(preferences.subscribe, preferences.get);
}

/** An app makes its own typed one of this: `const useT = () => useTranslate<keyof typeof words.zh>()`. */
export function useTranslate<K extends string = SharedKey>(): Translate<K | SharedKey> {
  const { words } = useGiven();
  const { language } = usePreferences();
  return useMemo(() => translator(words as Words<K | SharedKey>, language), [words, language]);
}

/** What to tell of an error. */
export function useExplain(): (error: unknown) => string {
  const { words } = useGiven();
  const t = useTranslate();
  return (error) => explain(error, t, words as Words<SharedKey>);
}

export function useSession(): SessionState {
  const { session } = useRuntime();
  return useSyncExternalStore(session.subscribe, session.getState);
}

/** The live side; only below a `RequireSession`. */
export function useRealtime(): Realtime {
  const runtime = useRuntime();
  const live = useSyncExternalStore(runtime.session.subscribe, runtime.realtime);
  if (live === null) throw new Error("nobody is signed in");
  return live;
}

const never = (): (() => void) => () => undefined;

/** Whether the live connection stands; true where there is none to stand. */
export function useConnected(): boolean {
  const runtime = useRuntime();
  const live = useSyncExternalStore(runtime.session.subscribe, runtime.realtime);
  return useSyncExternalStore(live?.subscribe ?? never, live?.isConnected ?? (() => true));
}

/** Opens a conversation and follows it: its log, what waits to be sent, who is writing; `error` where it could not be had. */
export function useConversation(id: string): Conversation & { error: unknown } {
  const live = useRealtime();
  const [failed, setFailed] = useState<{ id: string; error: unknown } | null>(null);
  useEffect(() => {
    let here = true;
    live.open(id).then(
      () => here && setFailed(null),
      (error: unknown) => here && setFailed({ id, error }),
    );
    return () => {
      here = false;
    };
  }, [live, id]);
  const conversation = useSyncExternalStore(live.subscribe, () => live.conversation(id));
  return { ...conversation, error: failed?.id === id ? failed.error : null };
}

/** Milliseconds until an instant of the server's, each second anew; null without an instant. */
export function useRemaining(instant: string | null): number | null {
  const { clock } = useRuntime();
  const [remaining, setRemaining] = useState<number | null>(null);
  useEffect(() => {
    const look = (): void => setRemaining(instant === null ? null : clock.until(instant));
    look();
    const timer = setInterval(look, 1_000);
    return () => clearInterval(timer);
  }, [clock, instant]);
  return remaining;
}

/** An address for bytes that only this account may have (a picture, a voice clip), given back when they are no longer shown. */
export function useMedia(mediaId: string, rendition: Models["LinkRequest"]["rendition"] = null): string | null {
  const { api } = useRuntime();
  const [url, setUrl] = useState<string | null>(null);
  useEffect(() => {
    const gone = new AbortController();
    let made: string | null = null;
    const load = async (): Promise<void> => {
      const link = await api.call("create_media_link", { path: { media_id: mediaId }, body: { rendition }, signal: gone.signal });
      const bytes = await api.bytes(link.url, { signal: gone.signal });
      made = URL.createObjectURL(bytes);
      setUrl(made);
    };
    load().catch(() => undefined);
    return () => {
      gone.abort();
      if (made !== null) URL.revokeObjectURL(made);
      setUrl(null);
    };
  }, [api, mediaId, rendition]);
  return url;
}

const onNetwork = (listener: () => void): (() => void) => {
  addEventListener("online", listener);
  addEventListener("offline", listener);
  return () => {
    removeEventListener("online", listener);
    removeEventListener("offline", listener);
  };
};

export const useOnline = (): boolean => useSyncExternalStore(onNetwork, () => navigator.onLine);
