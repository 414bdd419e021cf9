import { format, newKey, useApi, usePreferences } from "@yunzhen/shared";
import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useRef, useState } from "react";
import { Link, useParams } from "react-router";
import { Picture } from "@yunzhen/shared/chat";
import { AfterSales } from "../orders/AfterSales";
import { Flags } from "../orders/Flags";
import { ReferralCard } from "../orders/Referral";
import { askAgain, doctorAbout, doctorName } from "../orders/doctor";
import { type Step, hasChat, isOpen, mayCancel, mayRate, timeline } from "../orders/state";
import { type Order as OrderModel, useOrder } from "../queries";
import { Avatar, Card, LinkRow, Switch } from "../ui/bits";
import { Icon } from "../ui/Icon";
import { Page } from "../ui/Page";
import { Confirm } from "../ui/Sheet";
import { StatusTag } from "../ui/StatusTag";
import { Loaded } from "../ui/Trouble";
import { Until } from "../ui/Until";
import { useTellFailure, useToast } from "../ui/toast";
import { type Key, useT } from "../words";

export default function Order(): ReactNode {
  const { id = "" } = useParams();
  const t = useT();
  const query = useOrder(id);
  return (
    <Page title={t("order.title")} up="/orders" footer={query.data && <Next order={query.data} />}>
      <Loaded query={query}>{(order) => <Details order={order} />}</Loaded>
    </Page>
  );
}

function Details({ order }: { order: OrderModel }): ReactNode {
  const t = useT();
  const { language } = usePreferences();
  return (
    <>
      <ReferralCard order={order} />
      <Card className="p-state">
        <p className="p-state__head"><StatusTag order={order} />{isOpen(order) && <Until at={order.deadline_at} />}{order.status === "pending_payment" && <Until at={order.unpaid_until} />}</p>
        <p className="p-state__text">{t(explanation(order), { doctor: doctorName(order, t), amount: format.yuan(order.refunded_fen || order.fee_fen) })}</p>
        <ol className="p-timeline">{timeline(order).map((step) => <TimelineStep key={step.key} step={step} order={order} />)}</ol>
      </Card>
      <Card>
        <Link className="p-strip p-strip--bare" to={askAgain(order)}>
          <Avatar name={doctorName(order, t)} />
          <p><strong>{doctorName(order, t)}</strong><small>{doctorAbout(order)}</small></p>
          <Icon name="forward" />
        </Link>
      </Card>
      <Card>
        <h2 className="p-h3">{t("order.complaint")}</h2>
        <p className="p-prose">{order.complaint}</p>
        {order.image_ids.length > 0 && <div className="p-grid">{order.image_ids.map((id) => <Picture key={id} mediaId={id} all={order.image_ids} />)}</div>}
        <dl className="p-facts">
          <dt>{t("order.patient")}</dt>
          <dd>{order.patient.name} · {t(sexKey(order.patient.sex))}{order.patient.age !== null && ` · ${t("age", { years: order.patient.age })}`}</dd>
          <dt>{t("order.kind")}</dt><dd>{t(`kind.${order.kind}`)}</dd>
          <dt>{t("order.fee")}</dt><dd>{format.yuan(order.fee_fen)}</dd>
          {order.refunded_fen > 0 && <><dt>{t("order.refunded")}</dt><dd>{format.yuan(order.refunded_fen)}</dd></>}
          <dt>{t("order.number")}</dt><dd className="p-number">{order.number}</dd>
          <dt>{t("order.created")}</dt><dd>{format.exactly(order.created_at, language)}</dd>
        </dl>
      </Card>
      <Flags order={order} />
      {hasChat(order) && <Privacy order={order} />}
      {order.rating !== null && <Rated order={order} />}
      {mayCancel(order) && <Cancel order={order} />}
      <AfterSales order={order} />
    </>
  );
}

const sexKey = (sex: string): Key => (sex === "male" || sex === "female" ? `sex.${sex}` : "sex.unknown");

/** One plain sentence on where the order stands, and on the money. */
function explanation(order: OrderModel): Key {
  if (order.status === "cancelled") return order.close_reason === "unpaid" ? "explain.unpaid" : "explain.cancelled";
  if (order.status === "refunding") return "explain.refunding";
  if (order.status === "refunded") return order.close_reason === "expired" ? "explain.refunded.expired" : "explain.refunded";
  return `explain.${order.status}`;
}

function TimelineStep({ step, order }: { step: Step; order: OrderModel }): ReactNode {
  const t = useT();
  const { language } = usePreferences();
  const reason = step.key === "closed" && step.state === "done" && order.close_reason !== null ? closeKey(order.close_reason) : null;
  return (
    <li className={`p-timeline__step p-timeline__step--${step.state}`} aria-current={step.state === "now" ? "step" : undefined}>
      <span className="p-timeline__name">
        {reason === null ? t(`step.${step.key}.${step.state === "done" ? "done" : "ahead"}`) : t(reason)}
        {step.key === "replied" && step.state === "done" && ` (${order.replies.used}/${order.replies.limit})`}
      </span>
      {step.at !== null && <time dateTime={step.at}>{format.when(step.at, language)}</time>}
    </li>
  );
}

const CLOSED = ["quota", "expired", "finished", "cancelled", "declined", "unpaid", "after_sales"] as const;

export function closeKey(reason: string): Key {
  const known = CLOSED.find((each) => each === reason);
  return known === undefined ? "closed.other" : `closed.${known}`;
}

/** Whether the doctor may see the records, and who did. */
function Privacy({ order }: { order: OrderModel }): ReactNode {
  const t = useT();
  const api = useApi();
  const tell = useToast();
  const fail = useTellFailure();
  const queries = useQueryClient();
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const put = async (granted: boolean): Promise<void> => {
    setBusy(true);
    try {
      queries.setQueryData(["order", order.id], await api.call("set_record_access", { path: { order_id: order.id }, body: { granted } }));
      tell(t(granted ? "privacy.granted" : "privacy.withdrawn"));
    } catch (error) {
      fail(error);
    } finally {
      setBusy(false);
      setAsking(false);
    }
  };
  return (
    <Card className="p-rows">
      <h2 className="p-h3">{t("privacy.title")}</h2>
      {isOpen(order) && (
        <Switch
          label={t("privacy.access")} note={t(order.record_access ? "privacy.access.on" : "privacy.access.off")} checked={order.record_access}
          onChange={(on) => (on ? void put(true) : setAsking(true))}
        />
      )}
      <LinkRow icon="eye" to={`/orders/${order.id}/views`} title={t("views.title")} note={t("views.note")} />
      {asking && (
        <Confirm danger busy={busy} title={t("privacy.withdraw")} text={t("privacy.withdraw.text")} confirm={t("privacy.withdraw.confirm")} onConfirm={() => void put(false)} onClose={() => setAsking(false)} />
      )}
    </Card>
  );
}

function Rated({ order }: { order: OrderModel }): ReactNode {
  const t = useT();
  if (order.rating === null) return null;
  return (
    <Card>
      <h2 className="p-h3">{t("rate.yours")}</h2>
      <p className="p-fivestars" role="img" aria-label={t("rate.stars", { count: order.rating.stars })}>
        {[1, 2, 3, 4, 5].map((n) => <Icon key={n} name="star" filled={n <= (order.rating?.stars ?? 0)} />)}
      </p>
      {order.rating.text !== "" && <p className="p-prose">{order.rating.text}</p>}
    </Card>
  );
}

function Cancel({ order }: { order: OrderModel }): ReactNode {
  const t = useT();
  const api = useApi();
  const tell = useToast();
  const fail = useTellFailure();
  const queries = useQueryClient();
  const key = useRef(newKey());
  const [asking, setAsking] = useState(false);
  const [busy, setBusy] = useState(false);
  const cancel = async (): Promise<void> => {
    setBusy(true);
    try {
      queries.setQueryData(["order", order.id], await api.call("cancel_order", { path: { order_id: order.id }, body: {}, idempotencyKey: key.current }));
      void queries.invalidateQueries({ queryKey: ["orders"] });
      tell(t("cancel.done"));
    } catch (error) {
      fail(error);
      void queries.invalidateQueries({ queryKey: ["order", order.id] });
    } finally {
      setBusy(false);
      setAsking(false);
    }
  };
  return (
    <>
      <button type="button" className="yz-link p-quiet" onClick={() => setAsking(true)}>{t("cancel.title")}</button>
      {asking && (
        <Confirm
          danger busy={busy} title={t("cancel.title")} text={t(order.paid_at === null ? "cancel.text.unpaid" : "cancel.text", { amount: format.yuan(order.fee_fen) })}
          confirm={t("cancel.confirm")} dismiss={t("cancel.not")} onConfirm={() => void cancel()} onClose={() => setAsking(false)}
        />
      )}
    </>
  );
}

function Next({ order }: { order: OrderModel }): ReactNode {
  const t = useT();
  if (order.status === "pending_payment") {
    return <Link className="yz-button yz-button--block p-button--link" to={`/orders/${order.id}/pay`}>{t("order.pay", { amount: format.yuan(order.fee_fen) })}</Link>;
  }
  return (
    <div className="p-buttons">
      {hasChat(order) && <Link className={isOpen(order) ? "yz-button p-button--link" : "yz-button yz-button--quiet p-button--link"} to={`/orders/${order.id}/chat`}>{t(isOpen(order) ? "order.open" : "order.read")}</Link>}
      {mayRate(order) && <Link className="yz-button p-button--link" to={`/orders/${order.id}/rate`}>{t("order.rate")}</Link>}
      {!isOpen(order) && !mayRate(order) && <Link className="yz-button p-button--link" to={askAgain(order)}>{t("order.again")}</Link>}
    </div>
  );
}
