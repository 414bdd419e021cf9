/** Pictures and recordings of a conversation: bytes that only this account may have, held while they are shown. */
import { useCallback, useEffect, useState, useSyncExternalStore } from "react";
import { useRuntime } from "../react/context";
import { type Rendition, mediaCacheOf } from "./cache";

export interface HeldMedia {
  url: string | null;
  blob: Blob | null;
  failed: boolean;
  retry: () => void;
}

export function useHeldMedia(mediaId: string, rendition: Rendition = null): HeldMedia {
  const { api } = useRuntime();
  const cache = mediaCacheOf(api);
  const [attempt, setAttempt] = useState(0);
  const shown = useSyncExternalStore(cache.subscribe, useCallback(() => cache.get(mediaId, rendition), [cache, mediaId, rendition]));
  useEffect(() => cache.hold(mediaId, rendition), [cache, mediaId, rendition, attempt]);
  const here = shown.state === "there" ? shown : { url: null, blob: null };
  return { url: here.url, blob: here.blob, failed: shown.state === "failed", retry: () => setAttempt(attempt + 1) };
}
