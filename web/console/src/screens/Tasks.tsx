import { BellOutlined } from "@ant-design/icons";
import { Loaded, type Models, RequestKey, format, newKey, useApi } from "@yunzhen/shared";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Button, Input, InputNumber, Modal, Radio, Segmented } from "antd";
import { type ReactNode, useId, useState } from "react";
import { Link } from "react-router";
import { usePages } from "../ui/list";
import { useMe } from "../ui/me";
import { Badge, ListFoot, Nothing, Panel, Problem, Screen, When, useTell } from "../ui/parts";
import { useT } from "../words";

type Task = Models["TaskOut"];
const STATES = ["open", "claimed", "done", "withdrawn"] as const satisfies readonly Task["state"][];
const OUTCOMES = {
  order_waiting: ["doctor_reached", "doctor_not_reached", "patient_told", "other"],
  reply_contested: ["upheld", "rejected", "other"],
  critical_value: ["acknowledged", "doctor_reached", "patient_told", "other"],
  after_sales: ["patient_told", "other"],
} as const satisfies Record<Task["kind"], readonly string[]>;

function Done({ task, onClose }: { task: Task; onClose: () => void }): ReactNode {
  const api = useApi();
  const t = useT();
  const tell = useTell();
  const queries = useQueryClient();
  const id = useId();
  const [key] = useState(newKey);
  const [outcome, setOutcome] = useState<string>(OUTCOMES[task.kind][0]);
  const [note, setNote] = useState("");
  const finish = useMutation({
    mutationFn: () => api.call("finish_task", { path: { task_id: task.task_id }, body: { outcome, note }, idempotencyKey: key }),
    onSuccess: () => {
      tell.done("tasks.finished");
      void queries.invalidateQueries({ queryKey: ["tasks"] });
      onClose();
    },
  });
  return (
    <Modal
      title={t("tasks.done.title")} open onCancel={onClose} onOk={() => finish.mutate()} confirmLoading={finish.isPending}
      okText={t("list.save")} cancelText={t("common.cancel")}
    >
      <div className="c-form">
        <div className="c-form__row">
          <span className="c-form__label" id={`${id}-outcome`}>{t("tasks.done.outcome")}</span>
          <Radio.Group aria-labelledby={`${id}-outcome`} vertical value={outcome} onChange={(event) => setOutcome(String(event.target.value))} options={OUTCOMES[task.kind].map((each) => ({ value: each, label: t(`task.outcome.${each}`) }))} />
        </div>
        <div className="c-form__row">
          <label className="c-form__label" htmlFor={`${id}-note`}>{t("tasks.done.note")}</label>
          <Input.TextArea id={`${id}-note`} rows={3} maxLength={1000} value={note} onChange={(event) => setNote(event.target.value)} aria-describedby={`${id}-hint`} />
          <span className="c-form__hint" id={`${id}-hint`}>{t("tasks.done.note.hint")}</span>
        </div>
        {finish.isError && <Problem error={finish.error} />}
      </div>
    </Modal>
  );
}

/** Why a patient contests a reply: asked for only by who works on it. */
function Flag({ flagId }: { flagId: string }): ReactNode {
  const api = useApi();
  const t = useT();
  const query = useQuery({ queryKey: ["flag", flagId], queryFn: ({ signal }) => api.call("view_reply_flag", { path: { flag_id: flagId }, signal }) });
  if (query.data === undefined) return null;
  return <p className="c-story__words">{t(`task.flaw.${query.data.flaw}`)}{query.data.reason !== "" && `\n${t("task.flag")}: ${query.data.reason}`}</p>;
}

/** What a patient asks for, and the decision; asked for only by who works on it. */
function AfterSales({ caseId }: { caseId: string }): ReactNode {
  const api = useApi();
  const t = useT();
  const tell = useTell();
  const queries = useQueryClient();
  const id = useId();
  const [key] = useState(() => new RequestKey());
  const [yuan, setYuan] = useState<number | null>(null);
  const [answer, setAnswer] = useState("");
  const query = useQuery({ queryKey: ["after-sales", caseId], queryFn: ({ signal }) => api.call("view_after_sales", { path: { after_sales_id: caseId }, signal }) });
  const decide = useMutation({
    mutationFn: (granted: boolean) => api.call("decide_after_sales", {
      path: { after_sales_id: caseId }, idempotencyKey: key.current,
      body: { granted, amount_fen: granted && yuan !== null ? Math.round(yuan * 100) : null, answer: answer.trim() },
    }),
    onSuccess: () => tell.done("aftersales.decided"),
    onError: key.failed,
    onSettled: () => {
      void queries.invalidateQueries({ queryKey: ["tasks"] });
      void queries.invalidateQueries({ queryKey: ["after-sales", caseId] });
    },
  });
  const found = query.data;
  if (found === undefined) return null;
  return (
    <div className="c-form">
      <p className="c-story__words">{`${t("aftersales.reason")}: ${found.reason}${found.text === "" ? "" : `\n${found.text}`}`}</p>
      {found.state !== "requested"
        ? <p>{t(`aftersales.${found.state}`, { amount: format.yuan(found.amount_fen ?? 0) })}</p>
        : (
          <>
            <div className="c-form__row">
              <label className="c-form__label" htmlFor={`${id}-amount`}>{t("aftersales.amount")}</label>
              <InputNumber id={`${id}-amount`} min={0.01} max={(found.fee_fen - found.refunded_fen) / 100} precision={2} value={yuan} onChange={setYuan} placeholder={((found.fee_fen - found.refunded_fen) / 100).toFixed(2)} aria-describedby={`${id}-hint`} />
              <span className="c-form__hint" id={`${id}-hint`}>{t("aftersales.amount.hint")}</span>
            </div>
            <div className="c-form__row">
              <label className="c-form__label" htmlFor={`${id}-answer`}>{t("aftersales.answer")}</label>
              <Input.TextArea id={`${id}-answer`} rows={2} maxLength={1000} value={answer} onChange={(event) => setAnswer(event.target.value)} />
            </div>
            <div className="c-task__actions">
              <Button type="primary" loading={decide.isPending} onClick={() => decide.mutate(true)}>{t("aftersales.grant")}</Button>
              <Button danger loading={decide.isPending} onClick={() => decide.mutate(false)}>{t("aftersales.refuse")}</Button>
            </div>
          </>
        )}
      {decide.isError && <Problem error={decide.error} />}
    </div>
  );
}

function TaskRow({ task, mine, onDone }: { task: Task; mine: boolean; onDone: () => void }): ReactNode {
  const api = useApi();
  const t = useT();
  const tell = useTell();
  const queries = useQueryClient();
  const again = (): void => void queries.invalidateQueries({ queryKey: ["tasks"] });
  const claim = useMutation({
    mutationFn: () => api.call("claim_task", { path: { task_id: task.task_id }, body: {} }), onSuccess: () => tell.done("tasks.claimed"), onError: tell.failed, onSettled: again,
  });
  const release = useMutation({
    mutationFn: () => api.call("release_task", { path: { task_id: task.task_id }, body: {} }), onSuccess: () => tell.done("tasks.released"), onError: tell.failed, onSettled: again,
  });
  const live = task.state === "open" || task.state === "claimed";
  const [overdue] = useState(() => live && Date.parse(task.due_at) < Date.now());
  return (
    <li className="c-task">
      <div className="c-screen">
        <div className="c-task__head">
          <h3 className="c-task__title">{t(`task.kind.${task.kind}`)}</h3>
          <Badge tone={task.state === "open" ? "warning" : task.state === "claimed" ? "primary" : "quiet"}>
            {task.state === "claimed" ? t(mine ? "tasks.mine" : "tasks.theirs") : t(`task.state.${task.state}`)}
          </Badge>
          {overdue && <Badge tone="danger">{t("tasks.overdue")}</Badge>}
        </div>
        {live && <p>{t(`task.what.${task.kind}`)}</p>}
        {mine && task.kind === "reply_contested" && <Flag flagId={task.subject} />}
        {mine && task.kind === "after_sales" && <AfterSales caseId={task.subject} />}
        {task.note !== "" && <p className="c-story__words">{task.note}</p>}
        <div className="c-task__facts">
          <span>{t("tasks.due")} <When at={task.due_at} /></span>
          {task.order_id !== null && <Link to={`/orders/${task.order_id}`}>{t("refunds.openOrder")}</Link>}
          {task.outcome !== null && <span>{t("tasks.done.outcome")}: {outcomeText(task.outcome, t)}</span>}
        </div>
      </div>
      <div className="c-task__actions">
        {task.state === "open" && <Button type="primary" loading={claim.isPending} onClick={() => claim.mutate()}>{t("tasks.claim")}</Button>}
        {mine && <Button loading={release.isPending} onClick={() => release.mutate()}>{t("tasks.release")}</Button>}
        {mine && task.kind !== "after_sales" && <Button type="primary" onClick={onDone}>{t("tasks.done")}</Button>}
      </div>
    </li>
  );
}

function outcomeText(outcome: string, t: ReturnType<typeof useT>): string {
  const known = Object.values(OUTCOMES).flat().find((each) => each === outcome);
  return known === undefined ? outcome : t(`task.outcome.${known}`);
}

export default function Tasks(): ReactNode {
  const api = useApi();
  const t = useT();
  const me = useMe().data;
  const [state, setState] = useState<Task["state"]>("open");
  const [finishing, setFinishing] = useState<Task | null>(null);
  const query = usePages(["tasks", state], (cursor, signal) => api.call("list_tasks", { query: { state, cursor, limit: 30 }, signal }), 20_000);
  const options = STATES.map((each) => ({ value: each, label: t(`task.state.${each}`) }));
  return (
    <Screen title={t("tasks.title")} actions={<Segmented<Task["state"]> aria-label={t("tasks.state")} value={state} onChange={setState} options={options} />}>
      <Panel flush>
        <Loaded query={{ data: query.items, error: query.error, refetch: query.refetch }}>
          {(tasks) => tasks.length === 0
            ? <Nothing title={t("tasks.none")} hint={t("tasks.none.hint")} icon={<BellOutlined />} />
            : (
              <>
                <ul className="c-list">
                  {tasks.map((task) => <TaskRow key={`${task.task_id}-${task.state}`} task={task} mine={task.state === "claimed" && task.claimed_by === me?.account_id} onDone={() => setFinishing(task)} />)}
                </ul>
                <ListFoot count={tasks.length} query={query} />
              </>
            )}
        </Loaded>
      </Panel>
      {finishing !== null && <Done task={finishing} onClose={() => setFinishing(null)} />}
    </Screen>
  );
}
