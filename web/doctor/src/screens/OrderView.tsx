import { Failure, Loading, type Message, format, useApi, useConversation, usePreferences, useRealtime, useRemaining, useRuntime, useSession } from "@yunzhen/shared";
import { Composer, Countdown, MessageList, Picture, textOf, useDraft, useSend, useWaiting } from "@yunzhen/shared/chat";
import { useMutation } from "@tanstack/react-query";
import { type ReactNode, useEffect, useState } from "react";
import { Link, useLocation } from "react-router";
import { type Order, isOpen, repliesLeft } from "../rules/orders";
import { Sign } from "../ui/Sign";
import { useToasts } from "../ui/Toast";
import { useT } from "../words";
import { Person } from "./Desk";
import { DeclineDialog, FinishDialog, GiftDialog, LastReplyDialog, RecallDialog } from "./OrderDialogs";
import { Notes } from "./Notes";
import { QuickReplies } from "./QuickReplies";
import { ReferDialog } from "./ReferDialog";
import { Records } from "./Records";

type Asking = { what: "gift" | "finish" | "decline" | "refer" | "quick" | "notes" } | { what: "last"; answer: (send: boolean) => void } | { what: "recall"; message: Message };

/** One consult: who asks, what was said, what can be done; the records beside it. */
export function OrderView({ order }: { order: Order }): ReactNode {
  const t = useT();
  const open = useStillOpen(order);
  const asked = useLocation().state as { record?: string } | null;
  const [records, setRecords] = useState(() => asked?.record !== undefined || matchMedia("(min-width: 80rem)").matches);
  const [asking, setAsking] = useState<Asking | null>(null);
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      if (!event.altKey) return;
      if (event.code === "KeyB") setRecords((shown) => !shown);
      else if (event.code === "KeyQ" && open) setAsking({ what: "quick" });
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [open]);
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
        <Talk order={order} open={open} ask={setAsking} />
      </main>
      {records && <Records order={order} open={open} wanted={asked?.record ?? null} onClose={() => setRecords(false)} />}
      {asking?.what === "gift" && <GiftDialog order={order} onClose={() => setAsking(null)} />}
      {asking?.what === "finish" && <FinishDialog order={order} onClose={() => setAsking(null)} />}
      {asking?.what === "decline" && <DeclineDialog order={order} onClose={() => setAsking(null)} />}
      {asking?.what === "refer" && <ReferDialog order={order} onClose={() => setAsking(null)} />}
      {asking?.what === "notes" && <Notes order={order} onClose={() => setAsking(null)} />}
      {asking?.what === "quick" && <PickQuick order={order} onClose={() => setAsking(null)} />}
      {asking?.what === "recall" && <RecallDialog message={asking.message} onClose={() => setAsking(null)} />}
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

interface ActionsProps {
  order: Order;
  open: boolean;
  ask: (what: "gift" | "finish" | "decline" | "refer" | "notes") => void;
  records: boolean;
  onRecords: () => void;
}

function Actions({ order, open, ask, records, onRecords }: ActionsProps): ReactNode {
  const t = useT();
  return (
    <div className="dr-head__actions" role="group" aria-label={t("order.actions")}>
      {open && (
        <>
          <button type="button" className="dr-action" onClick={() => ask("gift")}><Sign name="gift" /><span>{t("order.gift")}</span></button>
          {order.replies.used > 0
            ? <button type="button" className="dr-action" onClick={() => ask("finish")}><Sign name="check" /><span>{t("order.finish")}</span></button>
            : (
              <>
                <button type="button" className="dr-action" onClick={() => ask("decline")}><Sign name="undo" /><span>{t("order.decline")}</span></button>
                <button type="button" className="dr-action" onClick={() => ask("refer")}><Sign name="person" /><span>{t("referral.short")}</span></button>
              </>
            )}
        </>
      )}
      <button type="button" className="dr-action" onClick={() => ask("notes")}><Sign name="note" /><span>{t("notes.short")}</span></button>
      <button type="button" className="dr-action" aria-pressed={records} onClick={onRecords}><Sign name="record" /><span>{t("records.title")}</span></button>
    </div>
  );
}

function PickQuick({ order, onClose }: { order: Order; onClose: () => void }): ReactNode {
  const [, draft] = useDraft(order.conversation_id);
  return <QuickReplies order={order} onPick={(text) => draft.insert(text)} onClose={onClose} />;
}

function Talk({ order, open, ask }: { order: Order; open: boolean; ask: (asking: Asking) => void }): ReactNode {
  const t = useT();
  const live = useRealtime();
  const session = useSession();
  const conversation = useConversation(order.conversation_id);
  const { sorry } = useToasts();
  const mark = useChatMark(order.id);
  const own = session.status === "in" ? session.account.account_id : "";
  const send = useSend(order.conversation_id);
  const { waiting } = useWaiting(order.conversation_id);
  const left = repliesLeft(order, [...conversation.pending, ...waiting].filter((item) => item.state === "queued").length);
  const [corrected, setCorrected] = useState<Message | null>(null);
  const keep = useKeep();
  if (conversation.log.seq === 0) {
    if (conversation.error !== null) return <Failure error={conversation.error} onRetry={() => void live.open(order.conversation_id).catch(sorry)} />;
    if (conversation.pending.length + waiting.length === 0) return <Loading />;
  }
  return (
    <>
      <p className="dr-private"><Sign name="lock" />{mark.reminder ?? t("order.private")}</p>
      <MessageList
        conversation={conversation} ownAccountId={own} mark={mark.tile} head={<Complaint order={order} />}
        onRecall={(message) => ask({ what: "recall", message })}
        actions={(message, mine) => (
          <span className="dr-also">
            {mine && open && left > 0 && <button type="button" className="yz-link" onClick={() => setCorrected(message)}>{t("order.correct")}</button>}
            {textOf(message) !== "" && <button type="button" className="yz-link" onClick={() => keep.mutate(message)}>{t("order.keep")}</button>}
          </span>
        )}
      />
      {open && left > 0 ? (
        <Composer
          conversationId={order.conversation_id}
          placeholder={t(matchMedia("(pointer: fine)").matches ? "order.write" : "order.write.phone")}
          onSend={async (pieces) => {
            if (left === 1 && !(await new Promise<boolean>((answer) => ask({ what: "last", answer })))) return false;
            send(pieces, corrected?.seq ?? null);
            setCorrected(null);
            return true;
          }}
          note={(
            <>
              <p className="dr-replies" data-last={left === 1}>
                <strong>{left === 1 ? t("order.replies.last") : t("order.replies", { left, limit: order.replies.limit })}</strong>
                <span>{t("order.replies.hint")}</span>
              </p>
              {corrected !== null && (
                <p className="dr-correcting">
                  <span><strong>{t("order.correcting")}</strong> {textOf(corrected)}</span>
                  <button type="button" className="yz-link" onClick={() => setCorrected(null)}>{t("common.cancel")}</button>
                </p>
              )}
            </>
          )}
          tools={<button type="button" className="yz-tool" aria-label={t("quick.title")} title={`${t("quick.title")} (Alt+Q)`} onClick={() => ask({ what: "quick" })}><Sign name="flash" /></button>}
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
        {order.paid_at !== null && <><dt>{t("order.paid")}</dt><dd>{format.exactly(order.paid_at, language)}</dd></>}
        <dt>{t("order.fee")}</dt><dd>{format.yuan(order.fee_fen)}</dd>
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
