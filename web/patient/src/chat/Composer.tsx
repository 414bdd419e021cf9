import { type ChangeEvent, type KeyboardEvent, type ReactNode, useId, useLayoutEffect, useRef, useState } from "react";
import { PICTURE_TYPES } from "../media/Pictures";
import { Icon } from "../ui/Icon";
import { useT } from "../words";
import { PressToSpeak } from "./PressToSpeak";
import { canRecord } from "./recorder";

const MOST_LETTERS = 4_000;
const MOST_PICTURES = 9;
const TYPING_EVERY_MS = 3_000;

interface ComposerProps {
  onText: (text: string) => void;
  onPictures: (files: readonly File[]) => void;
  onClip: (clip: Blob) => void;
  onTyping: () => void;
}

export function Composer({ onText, onPictures, onClip, onTyping }: ComposerProps): ReactNode {
  const t = useT();
  const id = useId();
  const [text, setText] = useState("");
  const [speaking, setSpeaking] = useState(false);
  const area = useRef<HTMLTextAreaElement>(null);
  const told = useRef(-Infinity);
  useLayoutEffect(() => {
    const here = area.current;
    if (here === null) return;
    here.style.height = "auto";
    here.style.height = `${here.scrollHeight}px`;
  }, [text, speaking]);
  const send = (): void => {
    if (text.trim() === "") return;
    onText(text.trim());
    setText("");
    area.current?.focus();
  };
  const write = (event: ChangeEvent<HTMLTextAreaElement>): void => {
    setText(event.target.value);
    const now = performance.now();
    if (event.target.value === "" || now - told.current < TYPING_EVERY_MS) return;
    told.current = now;
    onTyping();
  };
  const key = (event: KeyboardEvent): void => {
    // At a desk Enter sends; on a phone it is a new line, and while a word is being composed it belongs to that.
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing || matchMedia("(pointer: coarse)").matches) return;
    event.preventDefault();
    send();
  };
  const pick = (event: ChangeEvent<HTMLInputElement>): void => {
    const files = [...(event.target.files ?? [])].slice(0, MOST_PICTURES);
    event.target.value = "";
    if (files.length > 0) onPictures(files);
  };
  return (
    <div className="p-composer">
      {canRecord() && (
        <button type="button" className="p-iconbutton" aria-label={t(speaking ? "chat.keyboard" : "chat.voice")} onClick={() => setSpeaking(!speaking)}>
          <Icon name={speaking ? "keyboard" : "mic"} />
        </button>
      )}
      {speaking ? <PressToSpeak onClip={onClip} /> : (
        <textarea
          ref={area} className="p-composer__text" rows={1} maxLength={MOST_LETTERS} value={text} aria-label={t("chat.write")} placeholder={t("chat.write")}
          onChange={write} onKeyDown={key}
        />
      )}
      <label className="p-iconbutton" htmlFor={id}><Icon name="image" /><span className="yz-hidden">{t("chat.picture")}</span></label>
      <input id={id} className="yz-hidden" type="file" accept={PICTURE_TYPES} multiple onChange={pick} />
      {!speaking && (
        <button type="button" className="p-iconbutton p-composer__send" aria-label={t("chat.send")} disabled={text.trim() === ""} onClick={send}><Icon name="send" /></button>
      )}
    </div>
  );
}
