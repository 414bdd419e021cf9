import type { Message, OutboxItem } from "@yunzhen/shared";
import { type ReactNode, memo, useEffect, useState } from "react";
import { Picture } from "../media/Picture";
import type { MediaQueue, Waiting } from "../media/queue";
import { Avatar } from "../ui/bits";
import { Icon } from "../ui/Icon";
import { useT } from "../words";
import { Clip, Voice } from "./Voice";

type AnyPart = Message["parts"][number] | OutboxItem["parts"][number];
export type Mark = "sent" | "delivered" | "read";

export function Parts({ parts }: { parts: readonly AnyPart[] }): ReactNode {
  const t = useT();
  const pictures = parts.filter((part) => part.kind === "image").length;
  return (
    <div className={pictures > 1 ? "p-parts p-parts--many" : "p-parts"}>
      {parts.map((part, index) => {
        const key = index; // the parts of an entry never change their order
        if (part.kind === "text") return <p key={key} className="p-text">{part.text}</p>;
        if (part.kind === "image") return <Picture key={key} mediaId={part.media_id} n={index + 1} />;
        if (part.kind === "voice") return <Voice key={key} mediaId={part.media_id} />;
        return <p key={key} className="p-text p-text--quiet">{t("chat.unknown")}</p>;
      })}
    </div>
  );
}

interface BubbleProps {
  message: Message;
  mine: boolean;
  mark: Mark | null;
  onMenu: (message: Message) => void;
}

export const Bubble = memo(function Bubble({ message, mine, mark, onMenu }: BubbleProps): ReactNode {
  const t = useT();
  const name = message.sender.name ?? "";
  const bare = message.parts.every((part) => part.kind === "image");
  return (
    <article className={mine ? "p-said p-said--mine" : "p-said"} aria-label={mine ? t("chat.you") : name}>
      {!mine && <Avatar name={name} />}
      <div className={bare ? "p-bubble p-bubble--bare" : "p-bubble"}>
        {message.corrects !== null && <p className="p-bubble__note">{t("chat.corrects")}</p>}
        <Parts parts={message.parts} />
      </div>
      <button type="button" className="p-said__more" aria-label={t("chat.more")} onClick={() => onMenu(message)}><Icon name="more" /></button>
      {mark !== null && <p className={`p-said__mark p-said__mark--${mark}`}>{t(`mark.${mark}`)}</p>}
    </article>
  );
});

interface OnItsWayProps {
  failed: boolean;
  reason: string | null;
  share: number | null;
  onRetry: () => void;
  onDiscard: () => void;
  children: ReactNode;
}

function OnItsWay({ failed, reason, share, onRetry, onDiscard, children }: OnItsWayProps): ReactNode {
  const t = useT();
  return (
    <article className="p-said p-said--mine p-said--pending" aria-label={t("chat.you")}>
      <div className="p-bubble">{children}</div>
      {failed ? (
        <div className="p-said__failed" role="alert">
          <span><Icon name="alert" />{reason ?? t("mark.failed")}</span>
          <button type="button" className="yz-link" onClick={onRetry}>{t("common.retry")}</button>
          <button type="button" className="yz-link" onClick={onDiscard}>{t("chat.discard")}</button>
        </div>
      ) : (
        <p className="p-said__mark"><Icon name="clock" />{share === null || share === 0 ? t("mark.sending") : t("mark.uploading", { percent: Math.round(share * 100) })}</p>
      )}
    </article>
  );
}

interface PendingProps {
  item: OutboxItem;
  reason: string | null;
  onRetry: () => void;
  onDiscard: () => void;
}

export function PendingBubble({ item, reason, onRetry, onDiscard }: PendingProps): ReactNode {
  return (
    <OnItsWay failed={item.state === "failed"} reason={reason} share={null} onRetry={onRetry} onDiscard={onDiscard}>
      <Parts parts={item.parts} />
    </OnItsWay>
  );
}

/** Pictures and clips that are still on this device are shown from it. */
export function WaitingBubble({ item, queue, reason }: { item: Waiting; queue: MediaQueue; reason: string | null }): ReactNode {
  const t = useT();
  const [urls] = useState(() => item.pieces.map((piece) => URL.createObjectURL(piece.blob)));
  const [share, setShare] = useState(0);
  useEffect(() => queue.subscribe(() => setShare(queue.progressOf(item.client_id))), [item.client_id, queue]);
  return (
    <OnItsWay failed={item.state === "failed"} reason={reason} share={share} onRetry={() => void queue.retry(item.client_id)} onDiscard={() => void queue.discard(item.client_id)}>
      <div className={item.pieces.length > 1 ? "p-parts p-parts--many" : "p-parts"}>
        {item.pieces.map((piece, index) => {
          const url = urls[index];
          if (url === undefined) return null;
          return piece.kind === "image"
            ? <span key={url} className="p-picture"><img src={url} alt={t("picture.title")} /></span>
            : <Clip key={url} id={`${item.client_id}/${index}`} url={url} blob={piece.blob} />;
        })}
      </div>
    </OnItsWay>
  );
}
