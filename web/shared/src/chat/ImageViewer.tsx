import { type KeyboardEvent, type PointerEvent, type ReactNode, useEffect, useRef, useState } from "react";
import { createPortal } from "react-dom";
import { useTranslate } from "../react/context";
import { Icon } from "./icons";

interface Place {
  scale: number;
  x: number;
  y: number;
}

interface Props {
  url: string | null;
  failed?: boolean;
  onRetry?: () => void;
  index?: number;
  count?: number;
  onTurn?: (index: number) => void;
  onClose: () => void;
  /** Laid over the picture, such as a mark. */
  children?: ReactNode;
}

const WHOLE: Place = { scale: 1, x: 0, y: 0 };
const clamp = (scale: number): number => Math.min(6, Math.max(1, scale));

/** One picture over everything: wheel, pinch, double tap, buttons and keys zoom; a drag moves it; Escape closes. */
export function ImageViewer({ url, failed = false, onRetry, index = 0, count = 1, onTurn, onClose, children }: Props): ReactNode {
  const t = useTranslate();
  const dialog = useRef<HTMLDialogElement>(null);
  const fingers = useRef(new Map<number, { x: number; y: number }>());
  const [held, setHeld] = useState({ url, place: WHOLE }); // another picture begins whole
  const place = held.url === url ? held.place : WHOLE;
  const setPlace = (next: Place | ((before: Place) => Place)): void => {
    setHeld((was) => ({ url, place: typeof next === "function" ? next(was.url === url ? was.place : WHOLE) : next }));
  };
  useEffect(() => dialog.current?.showModal(), []);

  const zoom = (by: number): void => setPlace((p) => (clamp(p.scale * by) === 1 ? WHOLE : { ...p, scale: clamp(p.scale * by) }));
  const turn = (to: number): void => {
    if (to >= 0 && to < count) onTurn?.(to);
  };
  const keys = (event: KeyboardEvent): void => {
    const does: Record<string, () => void> = {
      "+": () => zoom(1.4), "=": () => zoom(1.4), "-": () => zoom(1 / 1.4), "0": () => setPlace(WHOLE),
      ArrowLeft: () => turn(index - 1), ArrowRight: () => turn(index + 1),
    };
    const act = does[event.key];
    if (act === undefined) return;
    event.preventDefault();
    act();
  };
  const down = (event: PointerEvent): void => {
    event.currentTarget.setPointerCapture(event.pointerId);
    fingers.current.set(event.pointerId, { x: event.clientX, y: event.clientY });
  };
  const move = (event: PointerEvent): void => {
    const was = fingers.current.get(event.pointerId);
    if (was === undefined) return;
    const other = [...fingers.current].find(([id]) => id !== event.pointerId)?.[1];
    const dx = event.clientX - was.x;
    const dy = event.clientY - was.y;
    if (other === undefined) setPlace((p) => (p.scale === 1 ? p : { ...p, x: p.x + dx, y: p.y + dy }));
    else {
      const before = Math.hypot(was.x - other.x, was.y - other.y);
      const after = Math.hypot(event.clientX - other.x, event.clientY - other.y);
      if (before > 0) zoom(after / before);
    }
    fingers.current.set(event.pointerId, { x: event.clientX, y: event.clientY });
  };
  const up = (event: PointerEvent): void => void fingers.current.delete(event.pointerId);

  return createPortal(
    // eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions -- its keys are those of the buttons in it
    <dialog ref={dialog} className="yz-viewer" aria-label={t("chat.image")} onClose={onClose} onKeyDown={keys}>
      {/* eslint-disable-next-line jsx-a11y/no-static-element-interactions -- fingers and wheel; the buttons below do the same */}
      <div
        className="yz-viewer__stage"
        onWheel={(event) => zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15)}
        onDoubleClick={() => setPlace((p) => (p.scale > 1 ? WHOLE : { ...WHOLE, scale: 2.5 }))}
        onPointerDown={down}
        onPointerMove={move}
        onPointerUp={up}
        onPointerCancel={up}
      >
        {failed && <button type="button" className="yz-button" onClick={onRetry}>{t("common.retry")}</button>}
        {!failed && url === null && <span role="status">{t("common.loading")}…</span>}
        {url !== null && (
          <img
            src={url}
            alt={t("chat.image")}
            draggable={false}
            style={{ transform: `translate(${String(place.x)}px, ${String(place.y)}px) scale(${String(place.scale)})` }}
          />
        )}
        {children}
      </div>
      <div className="yz-viewer__tools">
        {count > 1 && <button type="button" disabled={index === 0} onClick={() => turn(index - 1)} aria-label={t("chat.image.previous")}><Icon name="left" /></button>}
        {count > 1 && <span>{index + 1} / {count}</span>}
        {count > 1 && <button type="button" disabled={index === count - 1} onClick={() => turn(index + 1)} aria-label={t("chat.image.next")}><Icon name="right" /></button>}
        <button type="button" onClick={() => zoom(1 / 1.4)} disabled={place.scale === 1} aria-label={t("chat.image.zoomOut")}><Icon name="minus" /></button>
        <button type="button" onClick={() => zoom(1.4)} aria-label={t("chat.image.zoomIn")}><Icon name="plus" /></button>
        <button type="button" onClick={() => dialog.current?.close()} aria-label={t("chat.image.close")}><Icon name="close" /></button>
      </div>
    </dialog>,
    document.body,
  );
}
