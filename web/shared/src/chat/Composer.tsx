import { type ChangeEvent, type KeyboardEvent, type ReactNode, useEffect, useRef, useState } from "react";
import { useRealtime, useTranslate } from "../react/context";
import { type DraftFile, type DraftHolder, MOST_LETTERS, piecesOf, useDraft } from "./draft";
import { Icon, type IconName } from "./icons";
import { clock } from "./levels";
import { PressToSpeak } from "./PressToSpeak";
import type { CardPiece, Piece } from "./queue";
import { LONGEST_MS, type Recorder, useRecorder } from "./recorder";
import { VoicePlayer } from "./Voice";

const TYPING_EVERY_MS = 3_000;
/** What an `<input type="file">` offers: all kinds of pictures that the server reads. */
export const PICTURE_TYPES = "image/jpeg,image/png,image/webp,image/heic,image/heif";

interface Props {
  conversationId: string;
  /** Send it. False (a question was answered with no): what was written stays. */
  onSend: (pieces: Piece[]) => boolean | Promise<boolean>;
  /** `hold`: a recording is made while a button is held and sent when it is let go, as phones do it. `draft`: it becomes part of the message. */
  speech?: "hold" | "draft";
  /** More buttons beside those for pictures and voice. */
  tools?: ReactNode;
  /** Above the field: what there is to know before sending. */
  note?: ReactNode;
  placeholder?: string;
  /** What goes along with it, such as a card: it can be sent alone too. */
  extra?: readonly CardPiece[];
}

/** Words, pictures and voice of one message. Enter sends where there is a keyboard, Shift+Enter begins a new line. */
export function Composer({ conversationId, onSend, speech = "draft", tools, note, placeholder, extra = [] }: Props): ReactNode {
  const t = useTranslate();
  const live = useRealtime();
  const [draft, holder] = useDraft(conversationId);
  const [speaking, setSpeaking] = useState(false);
  const [dropped, setDropped] = useState(false);
  const recorder = useRecorder(({ blob, durationMs }) => {
    setDropped(false);
    if (speech === "draft") holder.add("voice", blob, durationMs);
    else void onSend([{ kind: "voice", blob, durationMs, media_id: null }]);
  });
  const field = useRef<HTMLTextAreaElement>(null);
  const file = useRef<HTMLInputElement>(null);
  const typed = useRef(0);
  const pieces = piecesOf(draft, extra);

  useEffect(() => {
    const area = field.current;
    if (area === null) return;
    area.style.height = "auto";
    area.style.height = `${String(Math.min(area.scrollHeight + 2, 160))}px`;
  }, [draft.text, speaking]);

  const write = (event: ChangeEvent<HTMLTextAreaElement>): void => {
    holder.setText(event.target.value);
    if (event.timeStamp - typed.current < TYPING_EVERY_MS) return;
    typed.current = event.timeStamp;
    live.saysTyping(conversationId);
  };
  const choose = (event: ChangeEvent<HTMLInputElement>): void => {
    for (const each of event.target.files ?? []) holder.add("image", each);
    event.target.value = "";
  };
  const send = async (): Promise<void> => {
    if (pieces === null) return;
    if (await onSend(pieces)) holder.clear();
    field.current?.focus();
  };
  const keys = (event: KeyboardEvent): void => {
    const desk = matchMedia("(pointer: fine)").matches;
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing || !(desk || event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    void send();
  };
  return (
    <form className="yz-composer" onSubmit={(event) => { event.preventDefault(); void send(); }}>
      {note}
      {draft.files.length > 0 && (
        <ul className="yz-composer__files">
          {draft.files.map((each) => <li key={each.id}><FileView file={each} holder={holder} /></li>)}
        </ul>
      )}
      {recorder.problem !== null && <p className="yz-composer__problem" role="alert">{t(`chat.record.${recorder.problem}`)}</p>}
      {dropped && recorder.state === "idle" && <p className="yz-composer__dropped" role="status">{t("chat.speak.dropped")}</p>}
      {recorder.state === "idle" || speech === "hold" ? (
        <div className="yz-composer__row" data-speech={speech}>
          <div className="yz-composer__tools">
            <input ref={file} type="file" accept={PICTURE_TYPES} multiple hidden onChange={choose} data-testid="picture-input" />
            {speech === "hold"
              ? <ToolButton name={t(speaking ? "chat.keyboard" : "chat.speak")} icon={speaking ? "keyboard" : "voice"} onClick={() => { setSpeaking(!speaking); setDropped(false); }} />
              : <ToolButton name={t("chat.addVoice")} icon="voice" disabled={holder.room() <= 0} onClick={recorder.start} />}
            <ToolButton name={t("chat.addImage")} icon="image" disabled={holder.room() <= 0} onClick={() => file.current?.click()} />
            {tools}
          </div>
          {speaking ? <PressToSpeak recorder={recorder} onDropped={() => setDropped(true)} /> : (
            <textarea
              ref={field} className="yz-composer__field" rows={1} value={draft.text} maxLength={MOST_LETTERS} onChange={write} onKeyDown={keys}
              aria-label={t("chat.write")} placeholder={placeholder ?? t("chat.write.placeholder")}
            />
          )}
          {(!speaking || draft.files.length > 0) && (
            <button type="submit" className="yz-composer__send" disabled={pieces === null} aria-label={t("chat.send")} title={t("chat.send")}><Icon name="send" /></button>
          )}
        </div>
      ) : <RecordingBar recorder={recorder} />}
    </form>
  );
}

function ToolButton({ name, icon, disabled = false, onClick }: { name: string; icon: IconName; disabled?: boolean; onClick: () => void }): ReactNode {
  return <button type="button" className="yz-tool" disabled={disabled} onClick={onClick} aria-label={name} title={name}><Icon name={icon} /></button>;
}

function FileView({ file, holder }: { file: DraftFile; holder: DraftHolder }): ReactNode {
  const t = useTranslate();
  return (
    <div className="yz-file" data-kind={file.kind}>
      {file.kind === "image" ? <img src={file.url} alt={t("chat.image")} /> : <VoicePlayer url={file.url} blob={file.blob} durationMs={file.durationMs} />}
      <button type="button" className="yz-file__remove" onClick={() => holder.remove(file.id)} aria-label={t("chat.remove")}><Icon name="close" /></button>
    </div>
  );
}

function RecordingBar({ recorder }: { recorder: Recorder }): ReactNode {
  const t = useTranslate();
  return (
    <div className="yz-recording" role="group" aria-label={t("chat.voice")}>
      <span className="yz-recording__dot" aria-hidden="true" />
      <span className="yz-recording__time">{clock(recorder.elapsedMs)} / {clock(LONGEST_MS)}</span>
      <span className="yz-recording__levels" aria-hidden="true">
        {recorder.levels.map((level, index) => <i key={index} style={{ height: `${String(Math.max(8, level * 100))}%` }} />)}
      </span>
      <span className="yz-hidden" role="status">{t(recorder.state === "starting" ? "chat.record.starting" : "chat.record.recording")}</span>
      <button type="button" className="yz-button yz-button--quiet" onClick={recorder.cancel}>{t("common.cancel")}</button>
      <button type="button" className="yz-button" disabled={recorder.state !== "recording"} onClick={recorder.finish}>{t("chat.record.finish")}</button>
    </div>
  );
}
