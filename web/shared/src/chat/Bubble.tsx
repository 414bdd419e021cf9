import { type ReactNode, useEffect, useState } from "react";
import { ApiError } from "../api/errors";
import { when } from "../format";
import { useExplain, usePreferences, useRealtime, useTranslate } from "../react/context";
import type { Message } from "../socket/conversation";
import type { OutboxItem } from "../socket/outbox";
import { type CardAction, CardView } from "./Card";
import { Icon } from "./icons";
import { Picture } from "./Picture";
import { type Piece, type Waiting, useWaiting } from "./queue";
import { type Row, textOf } from "./rows";
import { VoicePart, VoicePlayer } from "./Voice";

type MessageRow = Extract<Row, { kind: "message" }>;
export type AnyPart = Message["parts"][number] | OutboxItem["parts"][number];

interface PartsProps {
  parts: readonly AnyPart[];
  /** Those to turn through when one is looked at. */
  pictures?: readonly string[];
  cardAction?: CardAction | undefined;
}

/** Content in its order; pictures that follow one another stand side by side. */
export function Parts({ parts, pictures, cardAction }: PartsProps): ReactNode {
  const t = useTranslate();
  const own = parts.flatMap((part) => (part.kind === "image" ? [part.media_id] : []));
  const texts = parts.filter((part) => part.kind === "text");
  const voices = parts.filter((part) => part.kind === "voice");
  const others = parts.filter((part) => part.kind === "card" || part.kind === "system");
  return (
    <>
      {texts.map((part, index) => <p key={index} className="yz-bubble__text">{part.text}</p>)}
      {own.length > 0 && (
        <div className="yz-bubble__pictures" data-count={Math.min(3, own.length)}>
          {own.map((id) => <Picture key={id} mediaId={id} all={pictures ?? own} />)}
        </div>
      )}
      {voices.map((part) => <VoicePart key={part.media_id} mediaId={part.media_id} />)}
      {others.map((part, index) => (
        part.kind === "card" ? <CardView key={index} card={part} action={cardAction} /> : <p key={index} className="yz-bubble__unknown">{t("chat.unknown")}</p>
      ))}
    </>
  );
}

interface BubbleProps {
  row: MessageRow;
  pictures: readonly string[];
  /** What else can be done with a message: shown behind its time. */
  actions?: ReactNode;
  cardAction?: CardAction | undefined;
  onRecall: ((message: Message) => void) | null;
}

export function Bubble({ row, pictures, actions, cardAction, onRecall }: BubbleProps): ReactNode {
  const t = useTranslate();
  const { language } = usePreferences();
  const { message, own, first, progress } = row;
  const name = message.sender.name ?? "";
  if (message.recalled) return <p className="yz-tombstone">{own ? t("chat.recalled.own") : t("chat.recalled.other", { name })}</p>;
  return (
    <article className="yz-message" data-own={own} data-first={first} aria-label={name}>
      {first && !own && <span className="yz-message__name">{name}</span>}
      <div className="yz-bubble">
        {message.corrects !== null && (
          <blockquote className="yz-bubble__quote">
            <strong>{t("chat.corrects")}</strong> {row.corrects === null ? "" : textOf(row.corrects)}
          </blockquote>
        )}
        <Parts parts={message.parts} pictures={pictures} cardAction={cardAction} />
      </div>
      <div className="yz-message__meta">
        {row.corrected && <span>{t("chat.corrected")}</span>}
        <time dateTime={message.sent_at}>{when(message.sent_at, language)}</time>
        {own && <span data-progress={progress}>{t(`chat.${progress}`)}</span>}
        {onRecall !== null && <button type="button" className="yz-link" onClick={() => onRecall(message)}>{t("chat.recall")}</button>}
        {actions}
      </div>
    </article>
  );
}

/** Trying again changes nothing about these: the words can be kept, or given up. */
const FINAL: ReadonlySet<string | null> = new Set(["conversation.closed"]);

interface OnItsWayProps {
  first: boolean;
  /** Its words, to take elsewhere. */
  words: string;
  failed: boolean;
  code: string | null;
  /** How much of its files is on the server, 0 to 1; null where it has none. */
  share: number | null;
  onRetry: () => void;
  onDiscard: () => void;
  children: ReactNode;
}

/** Written here, not stored there yet. */
function OnItsWay({ first, words, failed, code, share, onRetry, onDiscard, children }: OnItsWayProps): ReactNode {
  const t = useTranslate();
  const explain = useExplain();
  const final = FINAL.has(code);
  return (
    <article className="yz-message" data-own data-first={first} data-pending={!failed} data-failed={failed} aria-label={t("chat.own")}>
      <div className="yz-bubble">{children}</div>
      {failed ? (
        <div className="yz-message__meta" role="alert">
          <span className="yz-message__failure"><Icon name="alert" />{final ? t("chat.failed.closed") : `${t("chat.failed")} · ${explain(new ApiError(code ?? "unknown", "invalid"))}`}</span>
          {!final && <button type="button" className="yz-link" onClick={onRetry}>{t("chat.resend")}</button>}
          {final && words !== "" && <CopyWords words={words} />}
          <button type="button" className="yz-link" onClick={onDiscard}>{t("chat.discard")}</button>
        </div>
      ) : (
        <div className="yz-message__meta" role="status">
          <Icon name="clock" /><span>{share === null || share === 0 ? `${t("chat.sending")}…` : t("chat.uploading", { percent: Math.round(share * 100) })}</span>
        </div>
      )}
    </article>
  );
}

function CopyWords({ words }: { words: string }): ReactNode {
  const t = useTranslate();
  const [done, setDone] = useState(false);
  const copy = async (): Promise<void> => setDone(await navigator.clipboard.writeText(words).then(() => true, () => false));
  return <button type="button" className="yz-link" onClick={() => void copy()}><span aria-live="polite">{t(done ? "chat.copyWords.done" : "chat.copyWords")}</span></button>;
}

const wordsOf = (pieces: readonly (AnyPart | Piece)[]): string => pieces.flatMap((each) => (each.kind === "text" ? [each.text] : [])).join("\n");

export function PendingBubble({ item, first }: { item: OutboxItem; first: boolean }): ReactNode {
  const live = useRealtime();
  return (
    <OnItsWay
      first={first} words={wordsOf(item.parts)} failed={item.state === "failed"} code={item.code} share={null}
      onRetry={() => void live.retry(item.client_id)} onDiscard={() => void live.discard(item.client_id)}
    >
      <Parts parts={item.parts} />
    </OnItsWay>
  );
}

/** Pictures and recordings that are still on this device are shown from it. */
export function WaitingBubble({ item, first }: { item: Waiting; first: boolean }): ReactNode {
  const { queue } = useWaiting(item.conversation_id);
  const [share, setShare] = useState(0);
  useEffect(() => queue.subscribe(() => setShare(queue.progressOf(item.client_id))), [item.client_id, queue]);
  return (
    <OnItsWay
      first={first} words={wordsOf(item.pieces)} failed={item.state === "failed"} code={item.code} share={share}
      onRetry={() => void queue.retry(item.client_id)} onDiscard={() => void queue.discard(item.client_id)}
    >
      <Pieces pieces={item.pieces} />
    </OnItsWay>
  );
}

function Pieces({ pieces }: { pieces: readonly Piece[] }): ReactNode {
  const t = useTranslate();
  const [urls] = useState(() => pieces.map((piece) => ("blob" in piece ? URL.createObjectURL(piece.blob) : "")));
  useEffect(() => () => void setTimeout(() => urls.forEach((url) => URL.revokeObjectURL(url)), KEPT_MS), [urls]);
  const shown = pieces.map((piece, index) => ({ piece, url: urls[index] ?? "" }));
  const pictures = shown.filter(({ piece }) => piece.kind === "image");
  return (
    <>
      {shown.map(({ piece }, index) => piece.kind === "text" && <p key={index} className="yz-bubble__text">{piece.text}</p>)}
      {pictures.length > 0 && (
        <div className="yz-bubble__pictures" data-count={Math.min(3, pictures.length)}>
          {pictures.map(({ url }) => <span key={url} className="yz-picture"><img src={url} alt={t("chat.image")} /></span>)}
        </div>
      )}
      {shown.map(({ piece }, index) => piece.kind === "card" && <CardView key={index} card={piece} action={undefined} />)}
      {shown.map(({ piece, url }) => piece.kind === "voice" && <VoicePlayer key={url} url={url} blob={piece.blob} durationMs={piece.durationMs} />)}
    </>
  );
}

/** Development mounts twice: an address must outlive the first unmount. */
const KEPT_MS = 60_000;
