import { type ReactNode, useEffect, useId, useRef } from "react";
import { createPortal } from "react-dom";
import { Icon } from "@yunzhen/shared/chat";
import { useT } from "../words";

interface Props {
  title: string;
  onClose: () => void;
  children: ReactNode;
  /** At the bottom: what can be done, the main one last. */
  actions?: ReactNode;
}

/** A question or a form over the page: focus stays in it, Escape closes it; from below on a phone. */
export function Modal({ title, onClose, children, actions }: Props): ReactNode {
  const t = useT();
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => dialog.current?.showModal(), []);
  return createPortal(
    <dialog ref={dialog} className="dr-modal" aria-labelledby={id} onClose={onClose}>
      <header className="dr-modal__head">
        <h2 id={id}>{title}</h2>
        <button type="button" className="yz-tool" onClick={onClose} aria-label={t("common.close")}><Icon name="close" /></button>
      </header>
      <div className="dr-modal__body">{children}</div>
      {actions !== undefined && <footer className="dr-modal__actions">{actions}</footer>}
    </dialog>,
    document.body,
  );
}
