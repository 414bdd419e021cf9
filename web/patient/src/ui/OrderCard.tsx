import { format, usePreferences } from "@yunzhen/shared";
import { useUnsent } from "@yunzhen/shared/chat/queue";
import type { ReactNode } from "react";
import { Link } from "react-router";
import { doctorName } from "../orders/doctor";
import { hasChat, isOpen, mayRate, repliesLeft } from "../orders/state";
import type { Order } from "../queries";
import { useT } from "../words";
import { Avatar } from "./bits";
import { Icon } from "./Icon";
import { StatusTag } from "./StatusTag";
import { Until } from "./Until";

/** One order in a list: who, what about, where it stands, and the one thing to do. */
export function OrderCard({ order }: { order: Order }): ReactNode {
  const t = useT();
  const { language } = usePreferences();
  const unsent = useUnsent().has(order.conversation_id);
  return (
    <li className="p-card p-order">
      <Link className="p-order__link" to={isOpen(order) || unsent ? `/orders/${order.id}/chat` : `/orders/${order.id}`}>
        <span className="p-order__head">
          <Avatar name={doctorName(order, t)} />
          <span className="p-order__who">
            <span className="p-order__name">{doctorName(order, t)}<small>{order.doctor.title}</small></span>
            <small>{order.doctor.department} · {t("order.for", { name: order.patient.name })}</small>
          </span>
          <StatusTag order={order} />
        </span>
        {unsent && <span className="p-order__unsent"><Icon name="alert" />{t("order.unsent")}</span>}
        <span className="p-order__complaint">{order.complaint}</span>
        <span className="p-order__foot">
          <small>{format.when(order.created_at, language)}</small>
          {isOpen(order) && <small>{t("chat.repliesLeft", { count: repliesLeft(order) })} · <Until at={order.deadline_at} /></small>}
          {order.status === "pending_payment" && <small><Until at={order.unpaid_until} /></small>}
        </span>
      </Link>
      <OrderActions order={order} />
    </li>
  );
}

function OrderActions({ order }: { order: Order }): ReactNode {
  const t = useT();
  if (order.status === "pending_payment") {
    return <p className="p-order__act"><Link className="yz-button p-button--link" to={`/orders/${order.id}/pay`}>{t("order.pay", { amount: format.yuan(order.fee_fen) })}</Link></p>;
  }
  if (isOpen(order)) return <p className="p-order__act"><Link className="yz-button p-button--link" to={`/orders/${order.id}/chat`}>{t("order.open")}</Link></p>;
  if (mayRate(order)) {
    return (
      <p className="p-order__act">
        <Link className="yz-button yz-button--quiet p-button--link" to={`/orders/${order.id}/chat`}>{t("order.read")}</Link>
        <Link className="yz-button p-button--link" to={`/orders/${order.id}/rate`}>{t("order.rate")}</Link>
      </p>
    );
  }
  if (!hasChat(order)) return null;
  return <p className="p-order__act"><Link className="yz-button yz-button--quiet p-button--link" to={`/orders/${order.id}/chat`}>{t("order.read")}</Link></p>;
}
