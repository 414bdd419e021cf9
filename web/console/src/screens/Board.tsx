import { CheckCircleOutlined } from "@ant-design/icons";
import { Loaded, type Models, format, useApi, usePreferences } from "@yunzhen/shared";
import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link } from "react-router";
import { type Key, useT } from "../words";
import { useMay } from "../ui/me";
import { Left, Nothing, Panel, Screen, StatusBadge } from "../ui/parts";
import { StaffTable } from "../ui/StaffTable";

const EVERY_MS = 20_000;

function Stat({ name, value, hint, to, tone }: { name: Key; value: number; hint: string; to: string | null; tone?: "warning" | "danger" | false }): ReactNode {
  const t = useT();
  const inside = (
    <>
      <span className="c-stat__name">{t(name)}</span>
      <span className="c-stat__value">{value}</span>
      <span className="c-stat__hint">{hint}</span>
    </>
  );
  const className = tone ? `c-stat c-stat--${tone}` : "c-stat";
  return to === null ? <div className={className}>{inside}</div> : <Link className={className} to={to}>{inside}</Link>;
}

function Now({ board }: { board: Models["BoardOut"] }): ReactNode {
  const t = useT();
  const orders = useMay("orders");
  const refunds = useMay("refunds");
  const tasks = useMay("tasks");
  const tasksHint = t("board.tasks.hint", { claimed: board.tasks_claimed, overdue: board.tasks_overdue });
  return (
    <div className="c-stats">
      <Stat name="board.waiting" value={board.waiting} hint={t("board.waiting.hint")} to={orders ? "/orders?status=awaiting_doctor" : null} />
      <Stat name="board.near" value={board.near} hint={t("board.near.hint")} to={null} tone={board.near > 0 && "warning"} />
      <Stat name="board.session" value={board.in_session} hint={t("board.session.hint")} to={orders ? "/orders?status=in_session" : null} />
      <Stat name="board.tasks" value={board.tasks_open} hint={tasksHint} to={tasks ? "/tasks" : null} tone={board.tasks_overdue > 0 && "warning"} />
      <Stat name="board.refunds" value={board.refunds_under_way} hint={t("board.refunds.hint")} to={refunds ? "/refunds" : null} />
      <Stat name="board.failed" value={board.refunds_need_person} hint={t("board.failed.hint")} to={refunds ? "/refunds?status=needs_person" : null} tone={board.refunds_need_person > 0 && "danger"} />
    </div>
  );
}

function Today({ today }: { today: Models["DayOut"] }): ReactNode {
  const t = useT();
  const parts = ["orders", "paid", "answered", "completed", "cancelled", "refunded"] as const;
  return (
    <dl className="c-facts">
      {parts.map((part) => [<dt key={part}>{t(`board.today.${part}`)}</dt>, <dd key={`${part}-value`}>{today[part]}</dd>])}
      <dt>{t("board.today.income")}</dt>
      <dd className="c-money">{format.yuan(today.paid_fen)}</dd>
    </dl>
  );
}

function Urgent({ orders }: { orders: readonly Models["UrgentOrderOut"][] }): ReactNode {
  const t = useT();
  const may = useMay("orders");
  if (orders.length === 0) return <Nothing title={t("board.urgent.none")} icon={<CheckCircleOutlined />} />;
  return (
    <StaffTable
      name={t("board.urgent")}
      rows={orders}
      rowKey="order_id"
      columns={[
        { title: t("orders.number"), render: (order) => (may ? <Link to={`/orders/${order.order_id}`}>{order.number}</Link> : order.number) },
        { title: t("orders.doctor"), render: (order) => `${order.doctor_name} · ${order.department}` },
        { title: t("orders.status"), render: (order) => <StatusBadge status={order.status} /> },
        { title: t("board.left"), align: "end", render: (order) => <Left until={order.deadline_at} /> },
      ]}
    />
  );
}

export default function Board(): ReactNode {
  const api = useApi();
  const t = useT();
  const { language } = usePreferences();
  const query = useQuery({ queryKey: ["board"], queryFn: ({ signal }) => api.call("view_board", { signal }), refetchInterval: EVERY_MS });
  return (
    <Screen title={t("board.title")} lead={query.data && t("list.updated", { at: format.when(query.data.at, language) })}>
      <Loaded query={query}>
        {(board) => (
          <>
            <Now board={board} />
            <div className="c-columns">
              <Panel title={t("board.urgent")} flush><Urgent orders={board.urgent} /></Panel>
              <Panel title={t("board.today")}><Today today={board.today} /></Panel>
            </div>
          </>
        )}
      </Loaded>
    </Screen>
  );
}
