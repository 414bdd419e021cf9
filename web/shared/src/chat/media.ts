/** Pictures and recordings of a conversation: bytes that only this account may have, held while they are shown. */
import { useEffect, useState } from "react";
import type { Models } from "../api/client";
import { useRuntime } from "../react/context";

export interface HeldMedia {
  url: string | null;
  blob: Blob | null;
  failed: boolean;
  retry: () => void;
}

const NOTHING = { url: null, blob: null, failed: false } as const;

/** `mediaId` null: nothing is asked for (yet). */
export function useHeldMedia(mediaId: string | null, rendition: Models["LinkRequest"]["rendition"] = null): HeldMedia {
  const { api } = useRuntime();
  const [attempt, setAttempt] = useState(0);
  const [held, setHeld] = useState<Omit<HeldMedia, "retry">>(NOTHING);
  useEffect(() => {
    if (mediaId === null) return undefined;
    const gone = new AbortController();
    let made: string | null = null;
    const load = async (): Promise<void> => {
      const link = await api.call("create_media_link", { path: { media_id: mediaId }, body: { rendition }, signal: gone.signal });
      const blob = await api.bytes(link.url, { signal: gone.signal });
      gone.signal.throwIfAborted();
      made = URL.createObjectURL(blob);
      setHeld({ url: made, blob, failed: false });
    };
    load().catch(() => {
      if (!gone.signal.aborted) setHeld({ ...NOTHING, failed: true });
    });
    return () => {
      gone.abort();
      if (made !== null) URL.revokeObjectURL(made);
      setHeld(NOTHING);
    };
  }, [api, mediaId, rendition, attempt]);
  return { ...held, retry: () => setAttempt(attempt + 1) };
}

/** The kind of sound that this browser plays. */
export function playable(): "opus" | "m4a" {
  return document.createElement("audio").canPlayType('audio/ogg; codecs="opus"') === "" ? "m4a" : "opus";
}
