import { MoneyCollectOutlined } from "@ant-design/icons";
import { Loaded, type Models, format, newKey, useApi } from "@yunzhen/shared";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Button, Modal, Segmented } from "antd";
import { type ReactNode, useState } from "react";
import { Link, useSearchParams } from "react-router";
import { usePages } from "../ui/list";
import { useMay } from "../ui/me";
import { Badge, ListFoot, Nothing, Panel, Problem, Screen, ShortId, When, useTell } from "../ui/parts";
import { StaffTable } from "../ui/StaffTable";
import { useT } from "../words";

type Refund = Models["RefundModel"];
const STATUSES = ["needs_person", "reserved", "processing", "refunded"] as const satisfies readonly Refund["status"][];
const TONES: Record<Refund["status"], string> = { needs_person: "danger", reserved: "warning", processing: "primary", refunded: "success" };

const PROBLEMS = ["abnormal", "closed", "no_answer", "another_amount"] as const;

/** In plain words where it is known; else the gateway's own code. */
function RefundProblem({ problem }: { problem: string | null }): ReactNode {
  const t = useT();
  const known = PROBLEMS.find((each) => each === problem);
  if (known !== undefined) return t(`refunds.problem.${known}`);
  return problem === null ? <span className="c-muted">—</span> : <code>{problem}</code>;
}

function Restart({ refund, onClose }: { refund: Refund; onClose: () => void }): ReactNode {
  const api = useApi();
  const t = useT();
  const tell = useTell();
  const queries = useQueryClient();
  const [key] = useState(newKey);
  const restart = useMutation({
    mutationFn: () => api.call("restart_refund", { path: { refund_id: refund.refund_id }, body: {}, idempotencyKey: key }),
    onSuccess: () => {
      tell.done("refunds.restarted");
      onClose();
    },
    onSettled: () => void queries.invalidateQueries({ queryKey: ["refunds"] }),
  });
  return (
    <Modal
      title={t("refunds.restart.title")} open onCancel={onClose} onOk={() => restart.mutate()} confirmLoading={restart.isPending}
      okText={t("refunds.restart")} cancelText={t("common.cancel")}
    >
      <p>{t("refunds.restart.text", { amount: format.yuan(refund.amount_fen) })}</p>
      {restart.isError && <Problem error={restart.error} />}
    </Modal>
  );
}

export default function Refunds(): ReactNode {
  const api = useApi();
  const t = useT();
  const [mayRestart, mayOrder] = [useMay("restart"), useMay("orders")];
  const [params, setParams] = useSearchParams();
  const status = STATUSES.find((each) => each === params.get("status")) ?? null;
  const [restarting, setRestarting] = useState<Refund | null>(null);
  const query = usePages(["refunds", status], (cursor, signal) => api.call("list_refunds", { query: { status, cursor, limit: 30 }, signal }), 20_000);
  const choose = (
    <Segmented<string>
      aria-label={t("orders.status")} value={status ?? ""} onChange={(chosen) => setParams(chosen === "" ? {} : { status: chosen })}
      options={[{ value: "", label: t("list.all") }, ...STATUSES.map((each) => ({ value: each, label: t(`refund.status.${each}`) }))]}
    />
  );
  const actions = mayRestart
    ? [{ title: t("list.actions"), render: (refund: Refund) => refund.status === "needs_person" && <Button size="small" type="primary" onClick={() => setRestarting(refund)}>{t("refunds.restart")}</Button> }]
    : [];
  return (
    <Screen title={t("refunds.title")} actions={choose}>
      <Panel flush>
        <Loaded query={{ data: query.items, error: query.error, refetch: query.refetch }}>
          {(refunds) => refunds.length === 0
            ? <Nothing title={t("refunds.none")} hint={t("refunds.none.hint")} icon={<MoneyCollectOutlined />} />
            : (
              <>
                <StaffTable
                  name={t("refunds.title")}
                  rows={refunds}
                  rowKey="refund_id"
                  columns={[
                    { title: t("refunds.id"), render: (refund) => <ShortId id={refund.refund_id} /> },
                    { title: t("orders.status"), render: (refund) => <Badge tone={TONES[refund.status]}>{t(`refund.status.${refund.status}`)}</Badge> },
                    { title: t("refunds.amount"), align: "end", render: (refund) => format.yuan(refund.amount_fen) },
                    { title: t("refunds.cause"), spare: true, render: (refund) => t(refund.cause === "surplus" ? "refunds.cause.surplus" : "refunds.cause.order") },
                    { title: t("refunds.problem"), wrap: true, render: (refund) => <RefundProblem problem={refund.problem} /> },
                    { title: t("refunds.tries"), align: "end", spare: true, render: (refund) => refund.tries },
                    { title: t("refunds.created"), spare: true, render: (refund) => <When at={refund.created_at} /> },
                    { title: t("refunds.done"), render: (refund) => <When at={refund.refunded_at} /> },
                    { title: t("refunds.order"), render: (refund) => mayOrder ? <Link to={`/orders/${refund.order_id}`}>{t("refunds.openOrder")}</Link> : <ShortId id={refund.order_id} /> },
                    ...actions,
                  ]}
                />
                <ListFoot count={refunds.length} query={query} />
              </>
            )}
        </Loaded>
      </Panel>
      {restarting !== null && <Restart refund={restarting} onClose={() => setRestarting(null)} />}
    </Screen>
  );
}
