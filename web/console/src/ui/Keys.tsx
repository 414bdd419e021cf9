import { Modal } from "antd";
import { Fragment, type ReactNode, useEffect, useRef, useState } from "react";
import { useNavigate } from "react-router";
import { useT } from "../words";
import type { Door } from "./Frame";

const TOGETHER_MS = 1_500; // G and what follows it

const isWriting = (target: EventTarget | null): boolean => target instanceof HTMLElement && target.matches("input, textarea, select, [contenteditable], [role=combobox]");

/** From anywhere: G and a letter go to a screen, / goes to what filters it, ? lists all of it. */
export function Keys({ doors }: { doors: readonly Door[] }): ReactNode {
  const t = useT();
  const navigate = useNavigate();
  const [open, setOpen] = useState(false);
  const began = useRef(-TOGETHER_MS);
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || isWriting(event.target)) return;
      const door = event.timeStamp - began.current < TOGETHER_MS ? doors.find((each) => each.key === event.key.toLowerCase()) : undefined;
      began.current = event.key === "g" && door === undefined ? event.timeStamp : -TOGETHER_MS;
      if (door !== undefined) void navigate(door.to);
      else if (event.key === "?") setOpen(true);
      else if (event.key === "/") document.querySelector<HTMLElement>(".c-main input:not([type=file])")?.focus();
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [doors, navigate]);
  return (
    <Modal title={t("keys.title")} open={open} onCancel={() => setOpen(false)} footer={null}>
      <dl className="c-keys">
        {doors.map((door) => <Fragment key={door.to}><dt><kbd>G</kbd> <kbd>{door.key.toUpperCase()}</kbd></dt><dd>{t(door.title)}</dd></Fragment>)}
        <dt><kbd>/</kbd></dt><dd>{t("keys.search")}</dd>
        <dt><kbd>Esc</kbd></dt><dd>{t("keys.close")}</dd>
        <dt><kbd>?</kbd></dt><dd>{t("keys.help")}</dd>
      </dl>
    </Modal>
  );
}
