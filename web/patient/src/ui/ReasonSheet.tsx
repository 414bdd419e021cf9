import { RequestKey } from "@yunzhen/shared";
import { type ReactNode, useId, useState } from "react";
import { Sheet } from "./Sheet";
import { useTellFailure, useToast } from "./toast";

const MOST_LETTERS = 500;

interface Props {
  title: string;
  text: string;
  label: string;
  button: string;
  /** Said when it was sent. */
  done: string;
  /** Raises what `Api` raises; the words stay then, to be mended or sent again. */
  send: (reason: string, idempotencyKey: string) => Promise<void>;
  onClose: () => void;
}

/** A few words of the patient's that somebody at the hospital will answer. */
export function ReasonSheet({ title, text, label, button, done, send, onClose }: Props): ReactNode {
  const id = useId();
  const tell = useToast();
  const fail = useTellFailure();
  const [key] = useState(() => new RequestKey());
  const [reason, setReason] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (): Promise<void> => {
    setBusy(true);
    try {
      await send(reason.trim(), key.current);
      tell(done);
      onClose();
    } catch (error) {
      key.failed(error);
      fail(error);
      setBusy(false);
    }
  };
  return (
    <Sheet title={title} onClose={onClose}>
      <p className="p-sheet__text">{text}</p>
      <label className="yz-field__label" htmlFor={id}>{label}</label>
      <textarea id={id} className="p-textarea" rows={4} maxLength={MOST_LETTERS} value={reason} onChange={(event) => setReason(event.target.value)} />
      <button type="button" className="yz-button yz-button--block" disabled={busy || reason.trim() === ""} onClick={() => void submit()}>{button}</button>
    </Sheet>
  );
}
