import { type PointerEvent, type ReactNode, useEffect, useRef, useState } from "react";
import { Icon } from "../ui/Icon";
import { useT } from "../words";

const MOST = 5;
const STEP = 1.5;

/** A picture over everything: two fingers, two taps or the buttons make it larger; dragging moves it; Escape closes. */
export function Viewer({ url, onClose }: { url: string; onClose: () => void }): ReactNode {
  const t = useT();
  const dialog = useRef<HTMLDialogElement>(null);
  const picture = useRef<HTMLImageElement>(null);
  const [view, setView] = useState({ scale: 1, x: 0, y: 0 });
  const fingers = useRef(new Map<number, { x: number; y: number }>());
  useEffect(() => {
    const here = dialog.current;
    if (here !== null && !here.open) here.showModal();
    return () => here?.close();
  }, []);
  useEffect(() => {
    // Through the object model: the page's policy takes no style from markup.
    if (picture.current !== null) picture.current.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.scale})`;
  }, [view]);
  const zoom = (factor: number): void =>
    setView((now) => {
      const scale = Math.min(MOST, Math.max(1, now.scale * factor));
      return scale === 1 ? { scale: 1, x: 0, y: 0 } : { ...now, scale };
    });
  const move = (event: PointerEvent): void => {
    const before = fingers.current.get(event.pointerId);
    if (before === undefined) return;
    const other = [...fingers.current].find(([id]) => id !== event.pointerId)?.[1];
    const now = { x: event.clientX, y: event.clientY };
    fingers.current.set(event.pointerId, now);
    if (other === undefined) {
      setView((v) => (v.scale === 1 ? v : { ...v, x: v.x + now.x - before.x, y: v.y + now.y - before.y }));
    } else zoom(Math.hypot(now.x - other.x, now.y - other.y) / Math.max(1, Math.hypot(before.x - other.x, before.y - other.y)));
  };
  const lift = (event: PointerEvent): void => void fingers.current.delete(event.pointerId);
  return (
    <dialog ref={dialog} className="p-viewer" aria-label={t("picture.title")} onCancel={(event) => { event.preventDefault(); onClose(); }}>
      {/* eslint-disable-next-line jsx-a11y/no-static-element-interactions -- the buttons below do the same */}
      <div
        className="p-viewer__stage" onDoubleClick={() => zoom(view.scale > 1 ? 0 : 2.5)} onPointerMove={move} onPointerUp={lift} onPointerCancel={lift}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          fingers.current.set(event.pointerId, { x: event.clientX, y: event.clientY });
        }}
        onWheel={(event) => zoom(event.deltaY < 0 ? 1.15 : 1 / 1.15)}
      >
        <img ref={picture} src={url} alt={t("picture.title")} draggable={false} />
      </div>
      <div className="p-viewer__tools">
        <button type="button" aria-label={t("picture.smaller")} onClick={() => zoom(1 / STEP)}><Icon name="minus" /></button>
        <button type="button" aria-label={t("picture.larger")} onClick={() => zoom(STEP)}><Icon name="plus" /></button>
        <button type="button" aria-label={t("common.close")} onClick={onClose}><Icon name="close" /></button>
      </div>
    </dialog>
  );
}
