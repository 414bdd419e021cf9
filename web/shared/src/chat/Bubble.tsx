import type { ReactNode } from "react";
import { when } from "../format";
import type { Message } from "../socket/conversation";
import type { OutboxItem } from "../socket/outbox";
import type { Translate } from "../i18n";
import { useExplain, usePreferences, useRealtime, useTranslate } from "../react/context";
import { ApiError } from "../api/errors";
import { Picture } from "./Picture";
import { type Row, textOf } from "./rows";
import { VoicePart } from "./Voice";

type MessageRow = Extract<Row, { kind: "message" }>;
export type AnyPart = Message["parts"][number] | OutboxItem["parts"][number];

/** Content in its order; pictures that follow one another stand side by side. */
export function Parts({ parts, pictures }: { parts: readonly AnyPart[]; pictures?: readonly string[] }): ReactNode {
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
      {others.map((part, index) => <p key={index} className="yz-bubble__unknown">{cardWords(part, t)}</p>)}
    </>
  );
}

/** A card in words, for whoever has no form of its own for it. */
function cardWords(part: AnyPart, t: Translate): string {
  if (part.kind !== "card") return t("chat.unknown");
  const data: Readonly<Record<string, unknown>> = part.data;
  if (part.card === "record_shared") return t("chat.card.record");
  if (part.card !== "booking") return t("chat.unknown");
  const period = (["morning", "afternoon", "evening"] as const).find((each) => each === data["period"]);
  const words = [data["department"], data["date"], period === undefined ? "" : t(`chat.card.${period}`), data["note"]];
  return `${t("chat.card.booking")} ${words.filter((word) => typeof word === "string" && word !== "").join(" ")}`;
}

interface BubbleProps {
  row: MessageRow;
  pictures: readonly string[];
  /** What else can be done with a message: shown behind its time. */
  actions?: ReactNode;
  onRecall: (() => void) | null;
}

export function Bubble({ row, pictures, actions, onRecall }: BubbleProps): ReactNode {
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
        <Parts parts={message.parts} pictures={pictures} />
      </div>
      <div className="yz-message__meta">
        {row.corrected && <span>{t("chat.corrected")}</span>}
        <time dateTime={message.sent_at}>{when(message.sent_at, language)}</time>
        {own && <span>{t(`chat.${progress}`)}</span>}
        {onRecall !== null && <button type="button" className="yz-link" onClick={onRecall}>{t("chat.recall")}</button>}
        {actions}
      </div>
    </article>
  );
}

/** Written here, not stored there yet. */
export function PendingBubble({ item, first }: { item: OutboxItem; first: boolean }): ReactNode {
  const t = useTranslate();
  const explain = useExplain();
  const live = useRealtime();
  const failed = item.state === "failed";
  return (
    <article className="yz-message" data-own data-first={first} data-pending={!failed} data-failed={failed}>
      <div className="yz-bubble"><Parts parts={item.parts} /></div>
      <div className="yz-message__meta" role="status">
        {failed ? (
          <>
            <span className="yz-message__failure">{t("chat.failed")} · {explain(new ApiError(item.code ?? "unknown", "invalid"))}</span>
            <button type="button" className="yz-link" onClick={() => void live.retry(item.client_id)}>{t("chat.resend")}</button>
            <button type="button" className="yz-link" onClick={() => void live.discard(item.client_id)}>{t("chat.discard")}</button>
          </>
        ) : <span>{t("chat.sending")}…</span>}
      </div>
    </article>
  );
}
