import { Failure, Loading, type Message, format, useApi, useConversation, usePreferences, useRealtime, useRemaining, useRuntime, useSession } from "@yunzhen/shared";
import { Composer, Countdown, MessageList, Picture, textOf, useDraft, useSend, useWaiting } from "@yunzhen/shared/chat";
import { useMutation } from "@tanstack/react-query";
import { type ReactNode, useEffect, useState } from "react";
import { Link, useLocation } from "react-router";
import { useAttached } from "../data/attached";
import { type Order, isOpen, repliesLeft } from "../rules/orders";
import { Modal } from "../ui/Modal";
import { Sign, type SignName } from "../ui/Sign";
import { useShortcut } from "../ui/shortcuts";
import { useToasts } from "../ui/Toast";
import { type Key, useT } from "../words";
import { BookingDialog, CardChips } from "./Cards";
import { Person } from "./Desk";
import { DeclineDialog, FinishDialog, GiftDialog, LastReplyDialog, RecallDialog } from "./OrderDialogs";
import { Notes } from "./Notes";
import { QuickReplies } from "./QuickReplies";
import { Records } from "./Records";
import { ReferDialog, ReferralBar } from "./Referral";
import { SearchMessages } from "./Search";

type Doing = "gift" | "finish" | "decline" | "notes" | "refer" | "find";
type Asking = { what: Doing | "quick" | "booking" | "more" } | { what: "last"; answer: (send: boolean) => void } | { what: "recall"; message: Message };

/** One consult: who asks, what was said, what can be done; the records beside it. */
export function OrderView({ order }: { order: Order }): ReactNode {
  const t = useT();
  const open = useStillOpen(order);
  const asked = useLocation().state as { record?: string; seq?: number } | null;
  const [records, setRecords] = useState(() => asked?.record !== undefined || matchMedia("(min-width: 80rem)").matches);
  const [asking, setAsking] = useState<Asking | null>(null);
  const [, attached] = useAttached(order.id);
  useShortcut("b", () => setRecords((shown) => !shown));
  useShortcut("q", () => open && setAsking({ what: "quick" }));
  useShortcut("n", () => setAsking({ what: "notes" }));
  useShortcut("s", () => setAsking({ what: "find" }));
  const close = (): void => setAsking(null);
  return (
    <>
      <main className="dr-desk__main" aria-label={order.patient.name}>
        <header className="dr-head">
          <Link to="/" className="yz-tool dr-head__back" aria-label={t("order.back")}><Sign name="back" /></Link>
          <div className="dr-head__who">
            <h2>{order.patient.name} <span><Person order={order} /></span></h2>
            <p>
              <span className="dr-chip" data-status={order.status}>{t(`status.${order.status}`)}</span>
              {open && <span>{t("order.deadline")} <Countdown until={order.deadline_at} /></span>}
              <span className="dr-head__number">{t("order.number", { number: order.number })}</span>
            </p>
          </div>
          <Actions order={order} open={open} ask={(what) => setAsking({ what })} records={records} onRecords={() => setRecords(!records)} />
        </header>
        <Talk order={order} open={open} ask={setAsking} at={asked?.seq ?? null} />
      </main>
      {records && <Records order={order} open={open} wanted={asked?.record ?? null} onClose={() => setRecords(false)} onShare={open && order.replies.used < order.replies.limit ? (record) => attached.add({ part: { kind: "card", card: "record_shared", data: { record_id: record.record_id } }, title: record.title }) : null} />}
      {asking?.what === "gift" && <GiftDialog order={order} onClose={close} />}
      {asking?.what === "finish" && <FinishDialog order={order} onClose={close} />}
      {asking?.what === "decline" && <DeclineDialog order={order} onClose={close} />}
      {asking?.what === "notes" && <Notes order={order} onClose={close} />}
      {asking?.what === "quick" && <PickQuick order={order} onClose={close} />}
      {asking?.what === "booking" && <BookingDialog order={order} onAdd={attached.add} onClose={close} />}
      {asking?.what === "refer" && <ReferDialog order={order} onClose={close} />}
      {asking?.what === "find" && <Modal title={t("search.here")} onClose={close}><SearchMessages conversationId={order.conversation_id} onGo={close} /></Modal>}
      {asking?.what === "more" && <MoreActions order={order} open={open} ask={(what) => setAsking({ what })} onClose={close} />}
      {asking?.what === "recall" && <RecallDialog message={asking.message} onClose={close} />}
      {asking?.what === "last" && (
        <LastReplyDialog
          onAnswer={(answer) => {
            asking.answer(answer === "send");
            setAsking(answer === "gift" ? { what: "gift" } : null);
          }}
        />
      )}
    </>
  );
}

/** Open by its status, and before its deadline by the server's clock. */
function useStillOpen(order: Order): boolean {
  const left = useRemaining(order.deadline_at);
  return isOpen(order) && left !== 0;
}

interface Action {
  what: Doing;
  sign: SignName;
  name: Key;
}

/** What can be done with the order now, the most usual first. */
function actionsOf(order: Order, open: boolean): Action[] {
  const answered = order.replies.used > 0;
  const during: Action[] = [
    { what: "gift", sign: "gift", name: "order.gift" },
    answered ? { what: "finish", sign: "check", name: "order.finish" } : { what: "decline", sign: "undo", name: "order.decline" },
    ...(order.status === "awaiting_doctor" ? [{ what: "refer", sign: "refer", name: "refer.short" } as const] : []),
  ];
  return [...(open ? during : []), { what: "notes", sign: "note", name: "notes.short" }, { what: "find", sign: "search", name: "search.short" }];
}

interface ActionsProps {
  order: Order;
  open: boolean;
  ask: (what: Doing | "more") => void;
  records: boolean;
  onRecords: () => void;
}

/** All of them at a desk; on a phone the records, and the rest behind one button. */
function Actions({ order, open, ask, records, onRecords }: ActionsProps): ReactNode {
  const t = useT();
  return (
    <div className="dr-head__actions" role="group" aria-label={t("order.actions")}>
      {actionsOf(order, open).map(({ what, sign, name }) => (
        <button key={what} type="button" className="dr-action dr-action--desk" onClick={() => ask(what)}><Sign name={sign} /><span>{t(name)}</span></button>
      ))}
      <button type="button" className="dr-action" aria-pressed={records} onClick={onRecords}><Sign name="record" /><span>{t("records.title")}</span></button>
      <button type="button" className="dr-action dr-action--phone" aria-haspopup="dialog" onClick={() => ask("more")}><Sign name="more" /><span>{t("order.more")}</span></button>
    </div>
  );
}

function MoreActions({ order, open, ask, onClose }: { order: Order; open: boolean; ask: (what: Doing) => void; onClose: () => void }): ReactNode {
  const t = useT();
  return (
    <Modal title={t("order.actions")} onClose={onClose}>
      <ul className="dr-menu">
        {actionsOf(order, open).map(({ what, sign, name }) => (
          <li key={what}><button type="button" onClick={() => ask(what)}><Sign name={sign} /><span>{t(name)}</span></button></li>
        ))}
      </ul>
    </Modal>
  );
}

function PickQuick({ order, onClose }: { order: Order; onClose: () => void }): ReactNode {
  const [, draft] = useDraft(order.conversation_id);
  return <QuickReplies order={order} onPick={(text) => draft.insert(text)} onClose={onClose} />;
}

interface TalkProps {
  order: Order;
  open: boolean;
  ask: (asking: Asking) => void;
  at: number | null;
}

function Talk({ order, open, ask, at }: TalkProps): ReactNode {
  const t = useT();
  const live = useRealtime();
  const session = useSession();
  const conversation = useConversation(order.conversation_id);
  const { sorry } = useToasts();
  const mark = useChatMark(order.id);
  const own = session.status === "in" ? session.account.account_id : "";
  const send = useSend(order.conversation_id);
  const { waiting } = useWaiting(order.conversation_id);
  const left = repliesLeft(order, { log: conversation.log, waiting: [...conversation.pending, ...waiting], own });
  const [{ cards, corrected }, attached] = useAttached(order.id);
  const keep = useKeep();
  if (conversation.log.seq === 0) {
    if (conversation.error !== null) return <Failure error={conversation.error} onRetry={() => void live.open(order.conversation_id).catch(sorry)} />;
    if (conversation.pending.length + waiting.length === 0) return <Loading />;
  }
  return (
    <>
      <p className="dr-private"><Sign name="lock" />{mark.reminder ?? t("order.private")}</p>
      <MessageList
        conversation={conversation} ownAccountId={own} find={at} mark={mark.tile} head={<Complaint order={order} />}
        onRecall={(message) => ask({ what: "recall", message })}
        actions={(message, mine) => (
          <span className="dr-also">
            {mine && open && left > 0 && <button type="button" className="yz-link" onClick={() => attached.correct(message)}>{t("order.correct")}</button>}
            {textOf(message) !== "" && <button type="button" className="yz-link" onClick={() => keep.mutate(message)}>{t("order.keep")}</button>}
          </span>
        )}
      />
      {open && left > 0 ? (
        <Composer
          conversationId={order.conversation_id}
          placeholder={t("order.write")}
          onSend={async (pieces) => {
            if (left === 1 && !(await new Promise<boolean>((answer) => ask({ what: "last", answer })))) return false;
            send(pieces, corrected?.seq ?? null);
            attached.clear();
            return true;
          }}
          extra={cards.map((card) => card.part)}
          note={(
            <>
              <ReferralBar order={order} seq={conversation.log.seq} />
              <CardChips cards={cards} onRemove={attached.remove} />
              <p className="dr-replies" data-last={left === 1}>
                <strong>{left === 1 ? t("order.replies.last") : t("order.replies", { left, limit: order.replies.limit })}</strong>
                <span>{t("order.replies.hint")}</span>
              </p>
              {corrected !== null && (
                <p className="dr-correcting">
                  <span><strong>{t("order.correcting")}</strong> {textOf(corrected)}</span>
                  <button type="button" className="yz-link" onClick={() => attached.correct(null)}>{t("common.cancel")}</button>
                </p>
              )}
            </>
          )}
          tools={(
            <>
              <button type="button" className="yz-tool" aria-label={t("quick.title")} title={`${t("quick.title")} (Alt+Q)`} onClick={() => ask({ what: "quick" })}><Sign name="flash" /></button>
              <button type="button" className="yz-tool" aria-label={t("cards.booking")} title={t("cards.booking")} onClick={() => ask({ what: "booking" })}><Sign name="calendar" /></button>
            </>
          )}
        />
      ) : (
        <p className="dr-ended">
          <strong>{t(open ? "order.replies.none" : "order.closed")}</strong>
          {!open && order.status === "completed" && order.close_reason === "quota" && <span>{t("order.closed.recall")}</span>}
        </p>
      )}
    </>
  );
}

/** Keep a message at hand, for other consults. */
function useKeep() {
  const t = useT();
  const { api, queries } = useRuntime();
  const { say, sorry } = useToasts();
  return useMutation({
    mutationFn: ({ conversation_id, seq }: Message) => api.call("add_favourite", { body: { conversation_id, seq, label: "" } }),
    onSuccess: () => {
      say(t("order.kept"));
      void queries.invalidateQueries({ queryKey: ["desk", "favourites"] });
    },
    onError: sorry,
  });
}

/** What the patient wrote with the order: before the first message. */
function Complaint({ order }: { order: Order }): ReactNode {
  const t = useT();
  const { language } = usePreferences();
  return (
    <section className="dr-complaint" aria-label={t("order.complaint")}>
      <h3>{t("order.complaint")} <span className="dr-chip">{t(`kind.${order.kind}`)}</span></h3>
      <p>{order.complaint}</p>
      {order.image_ids.length > 0 && (
        <div className="dr-complaint__pictures" role="group" aria-label={t("order.pictures")}>
          {order.image_ids.map((id) => <Picture key={id} mediaId={id} all={order.image_ids} />)}
        </div>
      )}
      <dl>
        {order.paid_at !== null && <div><dt>{t("order.paid")}</dt><dd><time dateTime={order.paid_at}>{format.when(order.paid_at, language)}</time></dd></div>}
        <div><dt>{t("order.fee")}</dt><dd>{format.yuan(order.fee_fen)}</dd></div>
      </dl>
    </section>
  );
}

interface ChatMark {
  tile: { url: string; width: number; height: number } | null;
  reminder: string | null;
}

/** The doctor's visible mark for this chat, and the words that go with it. Held while the chat is shown. */
function useChatMark(orderId: string): ChatMark {
  const api = useApi();
  const { language } = usePreferences();
  const [mark, setMark] = useState<{ tile: ChatMark["tile"]; zh: string; en: string } | null>(null);
  useEffect(() => {
    const gone = new AbortController();
    api.call("get_chat_mark", { path: { order_id: orderId }, signal: gone.signal }).then(
      ({ tile, width, height, reminder }) => setMark({ tile: { url: `data:image/png;base64,${tile}`, width, height }, ...reminder }),
      () => undefined, // without it the words stand there all the same
    );
    return () => gone.abort();
  }, [api, orderId]);
  return { tile: mark?.tile ?? null, reminder: mark === null ? null : language === "en" ? mark.en : mark.zh };
}
