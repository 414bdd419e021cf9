import { type ReactNode, useEffect, useId, useRef } from "react";
import { useT } from "../words";
import { Icon } from "./Icon";

interface SheetProps {
  title: string;
  onClose: () => void;
  children: ReactNode;
  /** Full height, for long texts. */
  tall?: boolean;
}

/** Over the page from below: the browser's own modal dialog, so that focus stays inside and Escape closes it. */
export function Sheet({ title, onClose, children, tall = false }: SheetProps): ReactNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const t = useT();
  useEffect(() => {
    const here = dialog.current;
    if (here !== null && !here.open) here.showModal();
    return () => here?.close();
  }, []);
  return (
    // eslint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/no-noninteractive-element-interactions -- Escape closes it
    <dialog
      ref={dialog}
      className={tall ? "p-sheet p-sheet--tall" : "p-sheet"}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => event.target === dialog.current && onClose()}
    >
      <div className="p-sheet__box">
        <header className="p-sheet__head">
          <h2 id={id}>{title}</h2>
          <button type="button" className="p-iconbutton" aria-label={t("common.close")} onClick={onClose}><Icon name="close" /></button>
        </header>
        <div className="p-sheet__body">{children}</div>
      </div>
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  text: ReactNode;
  confirm: string;
  /** What the way back is called, where “cancel” would say the opposite. */
  dismiss?: string;
  danger?: boolean;
  busy?: boolean;
  onConfirm: () => void;
  onClose: () => void;
}

export function Confirm({ title, text, confirm, dismiss, danger = false, busy = false, onConfirm, onClose }: ConfirmProps): ReactNode {
  const t = useT();
  return (
    <Sheet title={title} onClose={onClose}>
      <p className="p-sheet__text">{text}</p>
      <div className="p-buttons">
        <button type="button" className="yz-button yz-button--quiet" onClick={onClose}>{dismiss ?? t("common.cancel")}</button>
        <button type="button" className={danger ? "yz-button p-danger" : "yz-button"} disabled={busy} onClick={onConfirm}>{confirm}</button>
      </div>
    </Sheet>
  );
}
