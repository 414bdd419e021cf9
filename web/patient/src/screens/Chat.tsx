import { type Message, format, readByOthers, useConversation, useExplain, usePreferences, useRealtime, useRuntime, useSession, ApiError } from "@yunzhen/shared";
import { type ReactNode, useCallback, useEffect, useMemo, useState } from "react";
import { Link, useParams } from "react-router";
import { Bubble, type Mark, PendingBubble, WaitingBubble } from "../chat/Bubble";
import { Composer } from "../chat/Composer";
import { VirtualList } from "../chat/VirtualList";
import { type Row, rowsOf } from "../chat/rows";
import { Picture } from "../media/Picture";
import { type Piece, useWaiting } from "../media/queue";
import { isOpen, mayRate, repliesLeft } from "../orders/state";
import { type Order, useOrder } from "../queries";
import { ButtonRow, Skeleton } from "../ui/bits";
import { Icon } from "../ui/Icon";
import { Page } from "../ui/Page";
import { Sheet } from "../ui/Sheet";
import { StatusTag } from "../ui/StatusTag";
import { Loaded, Trouble } from "../ui/Trouble";
import { Until } from "../ui/Until";
import { useTellFailure, useToast } from "../ui/toast";
import { useT } from "../words";
import { closeKey } from "./Order";

export default function Chat(): ReactNode {
  const { id = "" } = useParams();
  const t = useT();
  const query = useOrder(id);
  const order = query.data;
  return (
    <Page
      fixed up={`/orders/${id}`} title={order?.doctor.name ?? t("chat.title")}
      subtitle={order && `${order.doctor.title} · ${order.doctor.department}`}
      action={<Link className="p-iconbutton" to={`/orders/${id}`} aria-label={t("chat.details")}><Icon name="inbox" /></Link>}
    >
      <Loaded query={query}>{(found) => <Talk order={found} />}</Loaded>
    </Page>
  );
}

function useMe(): string {
  const state = useSession();
  return state.status === "in" ? state.account.account_id : "";
}

function Talk({ order }: { order: Order }): ReactNode {
  const t = useT();
  const live = useRealtime();
  const { clock } = useRuntime();
  const me = useMe();
  const id = order.conversation_id;
  const { log, pending, typing, error } = useConversation(id);
  const { items: waiting, queue } = useWaiting(id);
  const [menu, setMenu] = useState<Message | null>(null);
  const [jump, setJump] = useState(0);
  const [atEnd, setAtEnd] = useState(true);
  // Where reading had come to when this was opened: known with the first sync.
  const known = log.open !== null;
  const mine = log.receipts[me];
  const [readTo, setReadTo] = useState<number | null>(null);
  if (known && readTo === null && log.seq > 0) setReadTo(log.unread > 0 && mine !== undefined ? mine.read_seq : Number.MAX_SAFE_INTEGER);

  const rows = useMemo(() => rowsOf({ messages: log.messages, pending, waiting, me, readTo }), [log.messages, pending, waiting, me, readTo]);
  useEffect(() => {
    const seen = (): void => {
      if (atEnd && log.unread > 0 && document.visibilityState === "visible") live.markRead(id);
    };
    seen();
    document.addEventListener("visibilitychange", seen);
    return () => document.removeEventListener("visibilitychange", seen);
  }, [atEnd, id, live, log.unread]);

  const older = useCallback(() => void live.loadOlder(id).catch(() => undefined), [id, live]);
  const keyOf = useCallback((row: Row) => row.key, []);
  const toEnd = (): void => setJump((n) => n + 1);
  const sendText = (text: string): void => {
    void live.send(id, [{ kind: "text", text }]).catch(() => undefined); // shown at once; what cannot be kept is still sent
    toEnd();
  };
  const sendPieces = (pieces: Piece[]): void => {
    void queue.add({ client_id: crypto.randomUUID(), account_id: me, conversation_id: id, pieces, written_at: clock.now() });
    toEnd();
  };
  const read = readByOthers(log, me);
  const delivered = Math.max(0, ...Object.values(log.receipts).filter((each) => each.account_id !== me).map((each) => each.delivered_seq));
  const open = isOpen(order) && log.open !== false;
  if (log.seq === 0 && error !== null) return <Trouble error={error} />;
  if (log.seq === 0 && !known) return <Skeleton label={t("common.loading")} />;
  return (
    <>
      <Standing order={order} />
      <VirtualList items={rows} keyOf={keyOf} label={t("chat.log")} jump={jump} onStart={log.first > 1 ? older : undefined} onEnd={setAtEnd}>
        {(row) => <OneRow row={row} order={order} read={read} delivered={delivered} onMenu={setMenu} />}
      </VirtualList>
      {!atEnd && (
        <button type="button" className="p-toend" onClick={toEnd}>{log.unread > 0 ? t("chat.newBelow", { count: log.unread }) : t("chat.toEnd")}</button>
      )}
      <p className="p-typing" aria-live="polite">{typing.length > 0 ? t("chat.typing") : ""}</p>
      {open ? (
        <Composer
          onText={sendText} onTyping={() => live.saysTyping(id)}
          onPictures={(files) => sendPieces(files.map((blob) => ({ kind: "image", blob, media_id: null })))}
          onClip={(blob) => sendPieces([{ kind: "voice", blob, media_id: null }])}
        />
      ) : <Ended order={order} />}
      {menu !== null && <Menu message={menu} mine={menu.sender.account_id === me} onClose={() => setMenu(null)} />}
    </>
  );
}

/** How many replies are left and how long there is: always in sight. */
function Standing({ order }: { order: Order }): ReactNode {
  const t = useT();
  return (
    <div className="p-standing">
      <StatusTag order={order} />
      {isOpen(order) && <span>{t("chat.repliesLeft", { count: repliesLeft(order) })}</span>}
      {isOpen(order) && <Until at={order.deadline_at} />}
    </div>
  );
}

interface OneRowProps {
  row: Row;
  order: Order;
  read: number;
  delivered: number;
  onMenu: (message: Message) => void;
}

function markOf(seq: number, read: number, delivered: number): Mark {
  if (seq <= read) return "read";
  return seq <= delivered ? "delivered" : "sent";
}

function OneRow({ row, order, read, delivered, onMenu }: OneRowProps): ReactNode {
  const t = useT();
  const live = useRealtime();
  const { language } = usePreferences();
  const explain = useExplain();
  const reason = (code: string | null): string | null => (code === null ? null : explain(new ApiError(code, "conflict")));
  switch (row.kind) {
    case "time": return <p className="p-moment"><time dateTime={row.at}>{format.when(row.at, language)}</time></p>;
    case "unread": return <p className="p-unread"><span>{t("chat.unread")}</span></p>;
    case "opened": return <Opened order={order} />;
    case "recalled": return <p className="p-event">{row.mine ? t("chat.recalled.you") : t("chat.recalled.other", { name: row.message.sender.name ?? "" })}</p>;
    case "event": return <Happened message={row.message} order={order} />;
    case "message": return <Bubble message={row.message} mine={row.mine} mark={row.mine ? markOf(row.message.seq, read, delivered) : null} onMenu={onMenu} />;
    case "pending": return (
      <PendingBubble item={row.item} reason={reason(row.item.code)} onRetry={() => void live.retry(row.item.client_id)} onDiscard={() => void live.discard(row.item.client_id)} />
    );
    case "waiting": return <WaitingRow row={row} reason={reason(row.item.code)} />;
  }
}

function WaitingRow({ row, reason }: { row: Extract<Row, { kind: "waiting" }>; reason: string | null }): ReactNode {
  const { queue } = useWaiting(row.item.conversation_id);
  return <WaitingBubble item={row.item} queue={queue} reason={reason} />;
}

/** What the doctor was asked, at the beginning of it all. */
function Opened({ order }: { order: Order }): ReactNode {
  const t = useT();
  return (
    <section className="p-opened" aria-label={t("order.complaint")}>
      <h2 className="p-h3">{t("chat.opened")}</h2>
      <p className="p-prose">{order.complaint}</p>
      {order.image_ids.length > 0 && <div className="p-grid">{order.image_ids.map((image, index) => <Picture key={image} mediaId={image} n={index + 1} />)}</div>}
      <p className="p-opened__note"><Icon name="clock" />{t("chat.opened.note", { replies: order.replies.limit })}</p>
    </section>
  );
}

/** What happened besides words, in plain ones. */
function Happened({ message, order }: { message: Message; order: Order }): ReactNode {
  const t = useT();
  const part = message.parts.find((each) => each.kind === "system");
  const data = (part?.data ?? {}) as { count?: number; reason?: string; outcome?: string };
  if (message.kind === "gift") return <p className="p-event"><Icon name="gift" />{t("event.gift", { name: order.doctor.name, count: data.count ?? 0 })}</p>;
  if (message.kind === "closed") {
    return (
      <p className="p-event">
        {t(closeKey(message.closes ?? ""))}
        {message.closes === "declined" && typeof data.reason === "string" && <span className="p-event__more">{t("event.reason", { reason: data.reason })}</span>}
      </p>
    );
  }
  if (message.kind === "settled") return <p className="p-event">{t(data.outcome === "refund" ? "event.refund" : "event.settled", { amount: format.yuan(order.fee_fen) })}</p>;
  if (message.kind === "referred") return <p className="p-event">{t("event.referred")}</p>;
  return null;
}

function Ended({ order }: { order: Order }): ReactNode {
  const t = useT();
  return (
    <div className="p-ended">
      <p>{order.close_reason === null ? t("chat.ended") : t(closeKey(order.close_reason))}</p>
      {mayRate(order)
        ? <Link className="yz-button p-button--link" to={`/orders/${order.id}/rate`}>{t("order.rate")}</Link>
        : <Link className="yz-button yz-button--quiet p-button--link" to={`/doctors/${order.doctor.id}`}>{t("order.again")}</Link>}
    </div>
  );
}

function Menu({ message, mine, onClose }: { message: Message; mine: boolean; onClose: () => void }): ReactNode {
  const t = useT();
  const live = useRealtime();
  const tell = useToast();
  const fail = useTellFailure();
  const explain = useExplain();
  const { language } = usePreferences();
  const text = message.parts.flatMap((part) => (part.kind === "text" ? [part.text] : [])).join("\n");
  const copy = async (): Promise<void> => {
    onClose();
    await navigator.clipboard.writeText(text).then(() => tell(t("chat.copied")), () => tell(t("chat.notCopied")));
  };
  const recall = async (): Promise<void> => {
    onClose();
    try {
      const refused = await live.recall(message.conversation_id, message.seq);
      if (refused !== null) tell(explain(new ApiError(refused, "conflict")));
    } catch {
      fail(new ApiError("network.offline", "network"));
    }
  };
  return (
    <Sheet title={t("chat.more")} onClose={onClose}>
      <p className="p-sheet__text">{t("chat.sentAt", { at: format.exactly(message.sent_at, language) })}</p>
      <div className="p-rows">
        {text !== "" && <ButtonRow icon="card" title={t("chat.copy")} onClick={() => void copy()} />}
        {mine && <ButtonRow icon="trash" title={t("chat.recall")} note={t("chat.recall.note")} onClick={() => void recall()} />}
      </div>
    </Sheet>
  );
}
