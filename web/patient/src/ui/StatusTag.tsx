import type { ReactNode } from "react";
import type { Order, OrderStatus } from "../queries";
import { type Key, useT } from "../words";
import { Tag } from "./bits";

const KINDS = {
  pending_payment: "wait", awaiting_doctor: "good", in_session: "good", completed: "plain", refunding: "wait", refunded: "quiet", cancelled: "quiet",
} as const satisfies Record<OrderStatus, string>;

export function StatusTag({ order }: { order: Order }): ReactNode {
  const t = useT();
  return <Tag kind={KINDS[order.status]}>{t(`status.${order.status}` satisfies Key)}</Tag>;
}
