import { type KeyboardEvent, type PointerEvent, type ReactNode, useRef, useState } from "react";
import { useTranslate } from "../react/context";
import { Icon } from "./icons";
import { clock } from "./levels";
import { LONGEST_MS, type Recorder } from "./recorder";

const CANCEL_PX = 80;
const LEVELS = 24;

/** Hold and speak; let go and it is sent; slide up and it is dropped. By keyboard: Enter begins, Enter sends, Escape drops. */
export function PressToSpeak({ recorder, onDropped }: { recorder: Recorder; onDropped: () => void }): ReactNode {
  const t = useTranslate();
  const from = useRef(0);
  const [away, setAway] = useState(false);
  const active = recorder.state === "recording";

  const drop = (): void => {
    recorder.cancel();
    onDropped();
  };
  const press = (event: PointerEvent): void => {
    event.currentTarget.setPointerCapture(event.pointerId);
    from.current = event.clientY;
    setAway(false);
    recorder.start();
  };
  const letGo = (): void => {
    if (away) drop();
    else recorder.finish();
  };
  const key = (event: KeyboardEvent): void => {
    if (event.key === "Escape" && active) drop();
    if ((event.key !== "Enter" && event.key !== " ") || event.repeat) return;
    event.preventDefault();
    if (active) recorder.finish();
    else recorder.start();
  };
  return (
    <>
      <button
        type="button" className="yz-speak" data-active={active} onKeyDown={key} onContextMenu={(event) => event.preventDefault()}
        onPointerDown={press} onPointerMove={(event) => active && setAway(from.current - event.clientY > CANCEL_PX)} onPointerUp={letGo} onPointerCancel={drop}
      >
        <Icon name="voice" />{t(active ? (away ? "chat.speak.letGoToCancel" : "chat.speak.letGo") : "chat.speak.hold")}
      </button>
      {active && <Speaking recorder={recorder} away={away} />}
    </>
  );
}

function Speaking({ recorder, away }: { recorder: Recorder; away: boolean }): ReactNode {
  const t = useTranslate();
  const { levels, elapsedMs } = recorder;
  return (
    <div className="yz-speaking" data-away={away}>
      <svg className="yz-speaking__wave" viewBox="0 0 144 48" aria-hidden="true" focusable="false">
        {Array.from({ length: LEVELS }, (_, index) => {
          const high = Math.max(4, (levels[levels.length - LEVELS + index] ?? 0) * 44);
          return <rect key={index} x={index * 6} y={24 - high / 2} width={4} height={high} rx={2} />;
        })}
      </svg>
      <strong>{clock(elapsedMs)} / {clock(LONGEST_MS)}</strong>
      <p role="status">{t(away ? "chat.speak.letGoToCancel" : "chat.speak.slideToCancel")}</p>
    </div>
  );
}
