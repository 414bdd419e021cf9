import { type KeyboardEvent, type PointerEvent, type ReactNode, useCallback, useEffect, useRef, useState } from "react";
import { Icon } from "../ui/Icon";
import { useToast } from "../ui/toast";
import { useT } from "../words";
import { LONGEST_MS, Recording } from "./recorder";
import { clipLength } from "./voice";

const CANCEL_PX = 80;
const LEVELS = 24;

/** Hold and speak; let go and it is sent; slide up and it is dropped. By keyboard: Enter begins, Enter sends, Escape drops. */
export function PressToSpeak({ onClip }: { onClip: (clip: Blob) => void }): ReactNode {
  const t = useT();
  const tell = useToast();
  const recording = useRef<Recording | null>(null);
  const [shown, setShown] = useState<Recording | null>(null);
  const held = useRef(false);
  const from = useRef(0);
  const active = shown !== null;
  const [away, setAway] = useState(false);

  const begin = useCallback(async () => {
    if (held.current) return;
    held.current = true;
    setAway(false);
    try {
      const made = await Recording.start();
      // Let go while the browser was asking: nothing was meant to be recorded.
      if (!(held.current as boolean)) { made.cancel(); return; }
      recording.current = made;
      setShown(made);
    } catch {
      held.current = false;
      tell(t("voice.noMicrophone"));
    }
  }, [t, tell]);
  const end = useCallback(async (send: boolean) => {
    held.current = false;
    const made = recording.current;
    recording.current = null;
    setShown(null);
    if (made === null) return;
    if (!send) { made.cancel(); tell(t("voice.cancelled")); return; }
    const clip = await made.finish();
    if (clip === null) tell(t("voice.tooShort"));
    else onClip(clip);
  }, [onClip, t, tell]);
  useEffect(() => () => recording.current?.cancel(), []);

  const move = (event: PointerEvent): void => {
    if (recording.current !== null) setAway(from.current - event.clientY > CANCEL_PX);
  };
  const key = (event: KeyboardEvent): void => {
    if (event.key === "Escape" && active) void end(false);
    if ((event.key === "Enter" || event.key === " ") && !event.repeat) {
      event.preventDefault();
      void (active ? end(true) : begin());
    }
  };
  return (
    <>
      <button
        type="button" className={active ? "p-speak p-speak--on" : "p-speak"} onKeyDown={key} onContextMenu={(event) => event.preventDefault()}
        onPointerDown={(event) => { event.currentTarget.setPointerCapture(event.pointerId); from.current = event.clientY; void begin(); }}
        onPointerMove={move} onPointerUp={() => void end(!away)} onPointerCancel={() => void end(false)}
      >
        <Icon name="mic" />{t(active ? (away ? "voice.letGoToCancel" : "voice.letGo") : "voice.hold")}
      </button>
      {shown !== null && <Speaking recording={shown} away={away} onFull={() => void end(true)} />}
    </>
  );
}

function Speaking({ recording, away, onFull }: { recording: Recording; away: boolean; onFull: () => void }): ReactNode {
  const t = useT();
  const [levels, setLevels] = useState<readonly number[]>([]);
  const [ms, setMs] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => {
      setMs(recording.elapsedMs);
      setLevels((now) => [...now, recording.level()].slice(-LEVELS));
      if (recording.elapsedMs >= LONGEST_MS - 200) {
        clearInterval(timer);
        onFull();
      }
    }, 80);
    return () => clearInterval(timer);
  }, [recording, onFull]);
  return (
    <div className={away ? "p-speaking p-speaking--away" : "p-speaking"}>
      <svg className="p-wave" viewBox="0 0 144 48" aria-hidden="true" focusable="false">
        {Array.from({ length: LEVELS }, (_, index) => {
          const high = Math.max(4, (levels[levels.length - LEVELS + index] ?? 0) * 44);
          return <rect key={index} x={index * 6} y={24 - high / 2} width={4} height={high} rx={2} />;
        })}
      </svg>
      <strong>{clipLength(ms / 1000)}<small> / 60″</small></strong>
      <p role="status">{t(away ? "voice.letGoToCancel" : "voice.slideToCancel")}</p>
    </div>
  );
}
