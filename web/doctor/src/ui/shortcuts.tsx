/** What the keyboard does here: one list, which `?` shows. */
import { type ReactNode, useEffect, useRef } from "react";
import { type Key, useT } from "../words";
import { Modal } from "./Modal";

/** Alt and a letter; `?` alone, outside of fields. */
export type Shortcut = "?" | "b" | "f" | "n" | "q" | "s";

const LIST: readonly { keys: string; does: Key }[] = [
  { keys: "Alt + ↑ ↓", does: "settings.keys.orders" },
  { keys: "Enter", does: "settings.keys.send" },
  { keys: "Shift + Enter", does: "settings.keys.line" },
  { keys: "Alt + Q", does: "settings.keys.quick" },
  { keys: "Alt + B", does: "settings.keys.records" },
  { keys: "← →", does: "settings.keys.pages" },
  { keys: "Alt + N", does: "settings.keys.notes" },
  { keys: "Alt + S", does: "settings.keys.find" },
  { keys: "Alt + F", does: "settings.keys.search" },
  { keys: "?", does: "settings.keys.help" },
];

const isWriting = (target: EventTarget | null): boolean => target instanceof HTMLElement && target.matches("input, textarea, select, [contenteditable]");

export function useShortcut(key: Shortcut, act: () => void): void {
  const latest = useRef(act);
  useEffect(() => {
    latest.current = act;
  });
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || document.querySelector("dialog[open]") !== null) return;
      const pressed = key === "?" ? event.key === "?" && !isWriting(event.target) : event.altKey && event.code === `Key${key.toUpperCase()}`;
      if (!pressed) return;
      event.preventDefault();
      latest.current();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [key]);
}

export function Keys(): ReactNode {
  const t = useT();
  return (
    <dl className="dr-keys">
      {LIST.map(({ keys, does }) => <div key={keys}><dt><kbd>{keys}</kbd></dt><dd>{t(does)}</dd></div>)}
    </dl>
  );
}

export function KeysDialog({ onClose }: { onClose: () => void }): ReactNode {
  const t = useT();
  return <Modal title={t("settings.keys")} onClose={onClose}><Keys /></Modal>;
}
