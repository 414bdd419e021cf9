import { type ReactNode, useEffect, useRef, useState } from "react";
import { useTranslate } from "../react/context";
import { Icon } from "./icons";
import { bars, clock } from "./levels";
import { playable } from "./cache";
import { useHeldMedia } from "./media";

const BARS = 28;
const SPEEDS = [1, 1.5, 2] as const;
type Speed = (typeof SPEEDS)[number];
/** As it was last chosen, for all recordings. */
let usual: Speed = 1;
/** One recording speaks at a time. */
let speaking: HTMLAudioElement | null = null;
/** Shown until the sound itself is known. */
const WAITING = Array.from({ length: BARS }, (_, index) => 0.35 + 0.3 * Math.abs(Math.sin(index * 1.7)));

/** A recording of the conversation. */
export function VoicePart({ mediaId }: { mediaId: string }): ReactNode {
  const t = useTranslate();
  const media = useHeldMedia(mediaId, playable());
  if (media.failed) {
    return <button type="button" className="yz-voice yz-voice--failed" onClick={media.retry}><Icon name="retry" />{t("chat.voice.failed")}</button>;
  }
  return <VoicePlayer url={media.url} blob={media.blob} />;
}

/** Plays bytes that are here. `durationMs`: where the file itself does not say (what a browser just recorded). */
export function VoicePlayer({ url, blob, durationMs = null }: { url: string | null; blob: Blob | null; durationMs?: number | null }): ReactNode {
  const t = useTranslate();
  const audio = useRef<HTMLAudioElement>(null);
  const [playing, setPlaying] = useState(false);
  const [speed, setSpeed] = useState<Speed>(usual);
  const [at, setAt] = useState(0);
  const [sound, setSound] = useState<Heard | null>(null);

  useEffect(() => {
    if (blob === null) return undefined;
    let here = true;
    void heard(blob).then((found) => {
      if (here) setSound(found);
    });
    return () => {
      here = false;
    };
  }, [blob]);

  useEffect(() => {
    const mine = audio.current;
    return () => {
      mine?.pause();
      if (speaking === mine) speaking = null;
    };
  }, []);

  const total = durationMs ?? sound?.ms ?? 0;
  const part = total === 0 ? 0 : Math.min(1, at / total);
  const toggle = (): void => {
    const element = audio.current;
    if (element === null) return;
    if (!element.paused) {
      element.pause();
      return;
    }
    if (speaking !== element) speaking?.pause();
    speaking = element;
    element.playbackRate = usual;
    setSpeed(usual);
    void element.play().catch(() => setPlaying(false));
  };
  const faster = (): void => {
    const next = SPEEDS[(SPEEDS.indexOf(speed) + 1) % SPEEDS.length] ?? 1;
    usual = next;
    setSpeed(next);
    if (audio.current !== null) audio.current.playbackRate = next;
  };
  return (
    <span className="yz-voice" role="group" aria-label={t("chat.voice")} data-playing={playing}>
      {/* eslint-disable-next-line jsx-a11y/media-has-caption -- a person's recording has no captions */}
      <audio
        ref={audio}
        src={url ?? undefined}
        onPlay={() => setPlaying(true)}
        onPause={() => setPlaying(false)}
        onEnded={() => { setPlaying(false); setAt(0); }}
        onTimeUpdate={(event) => setAt(event.currentTarget.currentTime * 1000)}
      />
      <button type="button" className="yz-voice__play" disabled={url === null} onClick={toggle} aria-label={t(playing ? "chat.voice.pause" : "chat.voice.play")}>
        <Icon name={playing ? "pause" : "play"} />
      </button>
      <svg className="yz-voice__wave" viewBox={`0 0 ${String(BARS * 4)} 24`} preserveAspectRatio="none" aria-hidden="true">
        {(sound?.levels ?? WAITING).map((level, index) => {
          const height = Math.max(2, level * 22);
          return <rect key={index} x={index * 4} y={12 - height / 2} width={2.2} height={height} rx={1.1} data-played={index / BARS < part} />;
        })}
      </svg>
      <span className="yz-voice__time">{total === 0 ? "–:––" : clock(at > 0 ? total - at : total)}</span>
      <button type="button" className="yz-voice__speed" onClick={faster} aria-label={t("chat.voice.speed", { speed })}>{speed}×</button>
    </span>
  );
}

interface Heard {
  levels: number[];
  ms: number;
}

const known = new WeakMap<Blob, Promise<Heard | null>>();

/** How loud it is where, and how long, decoded once; null where this browser cannot decode it. */
function heard(blob: Blob): Promise<Heard | null> {
  const made = known.get(blob) ?? decoded(blob).catch(() => null);
  known.set(blob, made);
  return made;
}

async function decoded(blob: Blob): Promise<Heard> {
  const sound = await new OfflineAudioContext(1, 1, 16_000).decodeAudioData(await blob.arrayBuffer());
  return { levels: bars(sound.getChannelData(0), BARS), ms: sound.duration * 1000 };
}
