import { type Message, useRealtime, useRuntime } from "@yunzhen/shared";
import { ApiError } from "@yunzhen/shared";
import { Icon } from "@yunzhen/shared/chat";
import { useMutation } from "@tanstack/react-query";
import { type ReactNode, useId, useState } from "react";
import { useNavigate } from "react-router";
import type { Order } from "../rules/orders";
import { Modal } from "../ui/Modal";
import { useToasts } from "../ui/Toast";
import { useT } from "../words";

const MOST_GIFTS = 10;
const MOST_REASON = 500;

interface Props {
  order: Order;
  onClose: () => void;
}

/** A command on the order: its answer is the order from then on. */
function useCommand(onClose: () => void, run: () => Promise<Order>, done: () => string) {
  const { queries } = useRuntime();
  const { say, sorry } = useToasts();
  const go = useNavigate();
  return useMutation({
    mutationFn: run,
    onSuccess: (order) => {
      if (order.quick?.taken === false) {
        queries.removeQueries({ queryKey: ["order", order.id] }); // back in the pool: nobody's
        void go("/");
      } else queries.setQueryData(["order", order.id], order);
      void queries.invalidateQueries({ queryKey: ["orders"] });
      say(done());
      onClose();
    },
    onError: sorry,
  });
}

export function GiftDialog({ order, onClose }: Props): ReactNode {
  const t = useT();
  const { api } = useRuntime();
  const [count, setCount] = useState(1);
  const give = useCommand(onClose, () => api.call("gift_replies", { path: { order_id: order.id }, body: { count } }), () => t("order.gift.done", { count }));
  return (
    <Modal title={t("order.gift.title")} onClose={onClose} actions={<Buttons main={t("order.gift")} busy={give.isPending} onMain={() => give.mutate()} onClose={onClose} />}>
      <p>{t("order.gift.text")}</p>
      <div className="dr-stepper" role="group" aria-label={t("order.gift.count")}>
        <button type="button" disabled={count <= 1} onClick={() => setCount(count - 1)} aria-label={t("order.gift.less")}><Icon name="minus" /></button>
        <output aria-live="polite">{count}</output>
        <button type="button" disabled={count >= MOST_GIFTS} onClick={() => setCount(count + 1)} aria-label={t("order.gift.more")}><Icon name="plus" /></button>
      </div>
    </Modal>
  );
}

export function FinishDialog({ order, onClose }: Props): ReactNode {
  const t = useT();
  const { api } = useRuntime();
  const finish = useCommand(onClose, () => api.call("finish_order", { path: { order_id: order.id }, body: {} }), () => t("order.finish.done"));
  return (
    <Modal title={t("order.finish.title")} onClose={onClose} actions={<Buttons main={t("order.finish")} busy={finish.isPending} onMain={() => finish.mutate()} onClose={onClose} />}>
      <p>{t("order.finish.text")}</p>
    </Modal>
  );
}

export function DeclineDialog({ order, onClose }: Props): ReactNode {
  const t = useT();
  const id = useId();
  const { api } = useRuntime();
  const [reason, setReason] = useState("");
  const decline = useCommand(onClose, () => api.call("decline_order", { path: { order_id: order.id }, body: { reason: reason.trim() } }), () => t("order.decline.done"));
  const ready = [t("order.decline.offline"), t("order.decline.department"), t("order.decline.material")];
  return (
    <Modal title={t("order.decline.title")} onClose={onClose} actions={<Buttons main={t("order.decline")} bad busy={decline.isPending || reason.trim() === ""} onMain={() => decline.mutate()} onClose={onClose} />}>
      <p>{t(order.quick === null ? "order.decline.text" : "pool.return.text")}</p>
      <div className="dr-ready">
        {ready.map((text) => <button key={text} type="button" aria-pressed={reason === text} onClick={() => setReason(text)}>{text}</button>)}
      </div>
      <label className="yz-field__label" htmlFor={id}>{t("order.decline.reason")}</label>
      <textarea id={id} className="dr-area" rows={3} maxLength={MOST_REASON} value={reason} placeholder={t("order.decline.reason.placeholder")} onChange={(event) => setReason(event.target.value)} />
    </Modal>
  );
}

export function RecallDialog({ message, onClose }: { message: Message; onClose: () => void }): ReactNode {
  const t = useT();
  const live = useRealtime();
  const { say, sorry } = useToasts();
  const [clientId] = useState(() => crypto.randomUUID());
  const recall = useMutation({
    mutationFn: async () => {
      const refused = await live.recall(message.conversation_id, message.seq, clientId).catch(() => "network.offline");
      if (refused !== null) throw new ApiError(refused, "conflict");
    },
    onSuccess: () => say(t("order.recall.done")),
    onError: sorry,
    onSettled: onClose,
  });
  return (
    <Modal title={t("order.recall.title")} onClose={onClose} actions={<Buttons main={t("chat.recall")} busy={recall.isPending} onMain={() => recall.mutate()} onClose={onClose} />}>
      <p>{t("order.recall.text")}</p>
    </Modal>
  );
}

/** A reply is precious: before the last one goes. */
export function LastReplyDialog({ onAnswer }: { onAnswer: (answer: "send" | "gift" | "keep") => void }): ReactNode {
  const t = useT();
  return (
    <Modal
      title={t("order.last.title")} onClose={() => onAnswer("keep")}
      actions={(
        <>
          <button type="button" className="yz-button yz-button--quiet" onClick={() => onAnswer("keep")}>{t("common.cancel")}</button>
          <button type="button" className="yz-button yz-button--quiet" onClick={() => onAnswer("gift")}>{t("order.last.gift")}</button>
          <button type="button" className="yz-button" onClick={() => onAnswer("send")}>{t("order.last.send")}</button>
        </>
      )}
    >
      <p>{t("order.last.text")}</p>
    </Modal>
  );
}

interface ButtonsProps {
  main: string;
  busy: boolean;
  bad?: boolean;
  onMain: () => void;
  onClose: () => void;
}

function Buttons({ main, busy, bad = false, onMain, onClose }: ButtonsProps): ReactNode {
  const t = useT();
  return (
    <>
      <button type="button" className="yz-button yz-button--quiet" onClick={onClose}>{t("common.cancel")}</button>
      <button type="button" className={bad ? "yz-button dr-button--bad" : "yz-button"} disabled={busy} onClick={onMain}>{main}</button>
    </>
  );
}
