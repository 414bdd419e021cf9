import { type ReactNode, useEffect, useMemo, useRef, useState } from "react";
import { playable, useShown } from "../media/cache";
import { Icon } from "../ui/Icon";
import { useT } from "../words";
import { type Sound, clipLength, soundOf } from "./voice";

const SPEEDS = [1, 1.5, 2] as const;
let speed: (typeof SPEEDS)[number] = 1;
/** One clip speaks at a time. */
let speaking: HTMLAudioElement | null = null;

export function Voice({ mediaId }: { mediaId: string }): ReactNode {
  const t = useT();
  const form = useMemo(() => playable(), []);
  const shown = useShown(mediaId, form);
  if (shown.state === "failed") return <button type="button" className="p-voice p-voice--failed" onClick={shown.retry}><Icon name="retry" />{t("voice.reload")}</button>;
  if (shown.state === "loading") return <span className="p-voice" role="status"><Icon name="mic" />{t("voice.loading")}</span>;
  return <Clip id={mediaId} url={shown.url} blob={shown.blob} />;
}

/** A clip with its shape; a tap plays it from where it is, another stops it. */
export function Clip({ id, url, blob }: { id: string; url: string; blob: Blob }): ReactNode {
  const t = useT();
  const audio = useRef<HTMLAudioElement>(null);
  const [sound, setSound] = useState<Sound | null>(null);
  const [share, setShare] = useState(0);
  const [playing, setPlaying] = useState(false);
  const [rate, setRate] = useState<number>(speed);
  useEffect(() => {
    let here = true;
    soundOf(id, blob).then((made) => here && setSound(made), () => undefined); // its shape is a nicety: it plays without
    return () => {
      here = false;
    };
  }, [id, blob]);
  useEffect(() => {
    const mine = audio.current;
    return () => {
      mine?.pause();
      if (speaking === mine) speaking = null;
    };
  }, []);
  const seconds = sound?.seconds ?? 1;
  const toggle = (): void => {
    const here = audio.current;
    if (here === null) return;
    if (!here.paused) { here.pause(); return; }
    if (speaking !== here) speaking?.pause();
    speaking = here;
    here.playbackRate = speed;
    void here.play().catch(() => setPlaying(false));
  };
  const faster = (): void => {
    speed = SPEEDS[(SPEEDS.indexOf(speed) + 1) % SPEEDS.length] ?? 1;
    setRate(speed);
    if (audio.current !== null) audio.current.playbackRate = speed;
  };
  return (
    <span className="p-voice">
      <button type="button" className="p-voice__play" aria-label={t(playing ? "voice.pause" : "voice.play", { length: clipLength(seconds) })} onClick={toggle}>
        <Icon name={playing ? "pause" : "play"} filled={!playing} />
      </button>
      <Wave peaks={sound?.peaks ?? []} share={share} />
      <span className="p-voice__length">{clipLength(seconds)}</span>
      <button type="button" className="p-voice__speed" aria-label={t("voice.speed", { speed: rate })} onClick={faster}>{rate}×</button>
      {/* eslint-disable-next-line jsx-a11y/media-has-caption -- people's own speech has no captions */}
      <audio
        ref={audio} src={url} preload="metadata" onPlay={() => setPlaying(true)} onPause={() => setPlaying(false)}
        onTimeUpdate={(event) => setShare(Math.min(1, event.currentTarget.currentTime / seconds))}
        onEnded={() => { setPlaying(false); setShare(0); }}
      />
    </span>
  );
}

function Wave({ peaks, share }: { peaks: readonly number[]; share: number }): ReactNode {
  const width = 3;
  return (
    <svg className="p-wave" viewBox="0 0 112 28" aria-hidden="true" focusable="false" preserveAspectRatio="none">
      {(peaks.length === 0 ? Array.from({ length: 28 }, () => 0.2) : peaks).map((peak, index) => {
        const high = Math.max(3, peak * 24);
        return <rect key={index} x={index * 4} y={14 - high / 2} width={width} height={high} rx={1.5} opacity={index / 28 < share ? 1 : 0.45} />;
      })}
    </svg>
  );
}
