import { ApiError, type Message, format, useConversation, useExplain, usePreferences, useRealtime, useSession } from "@yunzhen/shared";
import { type CardPart, Composer, MessageList, Picture, textOf, useSend } from "@yunzhen/shared/chat";
import { type ReactNode, useCallback, useMemo, useState } from "react";
import { Link, useParams, useSearchParams } from "react-router";
import { ReferralCard } from "../orders/Referral";
import { askAgain, doctorAbout, doctorName } from "../orders/doctor";
import { chatMark } from "../orders/mark";
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
      fixed up={`/orders/${id}`} title={order === undefined ? t("chat.title") : doctorName(order, t)}
      subtitle={order && doctorAbout(order)}
      action={<Link className="p-header__link" to={`/orders/${id}`} aria-label={t("chat.details")}>{t("chat.details.short")}</Link>}
    >
      <Loaded query={query}>{(found) => <Talk order={found} />}</Loaded>
    </Page>
  );
}

function Talk({ order }: { order: Order }): ReactNode {
  const t = useT();
  const session = useSession();
  const me = session.status === "in" ? session.account.account_id : "";
  const id = order.conversation_id;
  const conversation = useConversation(id);
  const { log, pending, error } = conversation;
  const send = useSend(id);
  const recall = useRecall();
  const [search] = useSearchParams();
  const found = /^[1-9][0-9]{0,6}$/.test(search.get("seq") ?? "") ? Number(search.get("seq")) : null;
  const [menu, setMenu] = useState<Message | null>(null);
  const actions = useCallback((message: Message) => <MoreButton message={message} onOpen={setMenu} />, []);
  const cardAction = useCallback((card: CardPart) => <CardDeed card={card} order={order} />, [order]);
  const { patient, number } = order;
  const mark = useMemo(() => chatMark({ patient, number }), [patient, number]);
  if (log.seq === 0 && pending.length === 0) return error === null ? <Skeleton label={t("common.loading")} /> : <Trouble error={error} />;
  return (
    <>
      <Standing order={order} />
      <p className="p-private"><Icon name="shield" />{t("chat.private")}</p>
      <MessageList
        conversation={conversation} ownAccountId={me} head={<><ReferralCard order={order} /><Opened order={order} /></>} find={found} mark={mark} actions={actions} cardAction={cardAction}
        asksForRating={mayRate(order)} onRecall={(message) => void recall(message)}
      />
      {isOpen(order) && log.open !== false
        ? <Composer conversationId={id} speech="hold" onSend={(pieces) => { send(pieces); return true; }} />
        : <Ended order={order} />}
      {menu !== null && <Menu message={menu} mine={menu.sender.account_id === me} onClose={() => setMenu(null)} />}
    </>
  );
}

function useRecall(): (message: Message) => Promise<void> {
  const live = useRealtime();
  const tell = useToast();
  const fail = useTellFailure();
  const explain = useExplain();
  return async ({ conversation_id, seq }) => {
    try {
      const refused = await live.recall(conversation_id, seq);
      if (refused !== null) tell(explain(new ApiError(refused, "conflict")));
    } catch {
      fail(new ApiError("network.offline", "network"));
    }
  };
}

function MoreButton({ message, onOpen }: { message: Message; onOpen: (message: Message) => void }): ReactNode {
  const t = useT();
  return <button type="button" className="p-said__more" aria-label={t("chat.more")} onClick={() => onOpen(message)}><Icon name="more" /></button>;
}

/** What a patient can do about a card. A record is not theirs to open here: who opened it is. */
function CardDeed({ card, order }: { card: CardPart; order: Order }): ReactNode {
  const t = useT();
  if (card.card === "rating") return mayRate(order) ? <Link className="yz-button p-button--link" to={`/orders/${order.id}/rate`}>{t("order.rate")}</Link> : null;
  if (card.card !== "record_shared") return null;
  return <p className="p-carddeed">{t("chat.card.record.text")} <Link to={`/orders/${order.id}/views`}>{t("views.title")}</Link></p>;
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

/** What the doctor was asked, at the beginning of it all. */
function Opened({ order }: { order: Order }): ReactNode {
  const t = useT();
  return (
    <section className="p-opened" aria-label={t("order.complaint")}>
      <h2 className="p-h3">{t("chat.asked")}</h2>
      <p className="p-prose">{order.complaint}</p>
      {order.image_ids.length > 0 && <div className="p-grid">{order.image_ids.map((image) => <Picture key={image} mediaId={image} all={order.image_ids} />)}</div>}
      <p className="p-opened__note"><Icon name="clock" />{t("chat.opened.note", { replies: order.replies.limit })}</p>
    </section>
  );
}

function Ended({ order }: { order: Order }): ReactNode {
  const t = useT();
  return (
    <div className="p-ended">
      <p>{order.close_reason === null ? t("chat.ended") : t(closeKey(order.close_reason))}</p>
      {mayRate(order)
        ? <Link className="yz-button p-button--link" to={`/orders/${order.id}/rate`}>{t("order.rate")}</Link>
        : <Link className="yz-button yz-button--quiet p-button--link" to={askAgain(order)}>{t("order.again")}</Link>}
    </div>
  );
}

function Menu({ message, mine, onClose }: { message: Message; mine: boolean; onClose: () => void }): ReactNode {
  const t = useT();
  const tell = useToast();
  const recall = useRecall();
  const { language } = usePreferences();
  const text = textOf(message);
  const copy = async (): Promise<void> => {
    onClose();
    await navigator.clipboard.writeText(text).then(() => tell(t("chat.copied")), () => tell(t("chat.notCopied")));
  };
  return (
    <Sheet title={t("chat.more")} onClose={onClose}>
      <p className="p-sheet__text">{t("chat.sentAt", { at: format.exactly(message.sent_at, language) })}</p>
      <div className="p-rows">
        {text !== "" && <ButtonRow icon="card" title={t("chat.copy")} onClick={() => void copy()} />}
        {mine && <ButtonRow icon="trash" title={t("chat.recall")} note={t("chat.recall.note")} onClick={() => { onClose(); void recall(message); }} />}
      </div>
    </Sheet>
  );
}
