import { AuditOutlined, CheckCircleFilled, DownloadOutlined, WarningFilled } from "@ant-design/icons";
import { Loaded, type Models, useApi, usePreferences, format } from "@yunzhen/shared";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Button, Input, Select, Tabs } from "antd";
import { type ReactNode, type SubmitEvent, useState } from "react";
import { Link, useSearchParams } from "react-router";
import { toCsv } from "../rules/csv";
import { saveAs } from "../ui/files";
import { DoctorSelect, PatientFinder, startOfDay } from "../ui/finders";
import { usePages } from "../ui/list";
import { Badge, Field, ListFoot, Nothing, Panel, Problem, Screen, ShortId, When, useTell } from "../ui/parts";
import { StaffTable } from "../ui/StaffTable";
import { ACTIONS, useAction, useT } from "../words";

type Row = Models["AuditRowOut"];
const ID = /^[0-9a-f]{32}$/;

interface Wanted {
  actor: string;
  order: string;
  action: string | null;
  since: string;
  until: string;
}

const NOTHING: Wanted = { actor: "", order: "", action: null, since: "", until: "" };

function Role({ role }: { role: string }): ReactNode {
  const t = useT();
  return ["patient", "doctor", "staff", "system", "anonymous"].includes(role) ? t(`role.${role as "patient"}`) : role;
}

function Rows({ rows, onActor }: { rows: readonly Row[]; onActor: (accountId: string) => void }): ReactNode {
  const t = useT();
  const action = useAction();
  return (
    <StaffTable
      name={t("audit.title")}
      rows={rows}
      rowKey="audit_id"
      columns={[
        { title: t("audit.when"), render: (row) => <When at={row.at} /> },
        { title: t("audit.what"), render: (row) => <div>{action(row.action)}<br /><code className="c-muted">{row.action}</code></div> },
        { title: t("audit.outcome"), render: (row) => <Badge tone={row.outcome === "ok" ? "quiet" : "danger"}>{t(row.outcome === "ok" ? "audit.ok" : "audit.denied")}</Badge> },
        {
          title: t("audit.who"),
          render: (row) => (
            <span className="c-tags">
              <Role role={row.actor.role} />
              {ID.test(row.actor.account_id) && <ShortId id={row.actor.account_id} />}
              {ID.test(row.actor.account_id) && <button type="button" className="c-link" onClick={() => onActor(row.actor.account_id)}>{t("audit.only")}</button>}
            </span>
          ),
        },
        { title: t("audit.subject"), render: (row) => <ShortId id={row.subject} /> },
        { title: t("audit.order"), render: (row) => row.order_id === null ? <span className="c-muted">—</span> : <Link to={`/orders/${row.order_id}`}>{t("refunds.openOrder")}</Link> },
      ]}
    />
  );
}

function Search(): ReactNode {
  const api = useApi();
  const t = useT();
  const action = useAction();
  const [params, setParams] = useSearchParams();
  const [draft, setDraft] = useState<Wanted>({ ...NOTHING, order: params.get("order") ?? "" });
  const [wanted, setWanted] = useState<Wanted>(draft);
  const [wrong, setWrong] = useState<string | null>(null);
  const { actor, order, since, until } = wanted;
  const query = usePages(["audit", wanted], (cursor, signal) =>
    api.call("search_audit", {
      query: { actor: actor || null, order_id: order || null, action: wanted.action, since: startOfDay(since), until: startOfDay(until, true), cursor, limit: 50 }, signal,
    }));
  const change = (part: Partial<Wanted>): void => setDraft({ ...draft, ...part });
  const seek = (next: Wanted): void => {
    setDraft(next);
    setWanted(next);
    setWrong(null);
    setParams(next.order === "" ? {} : { order: next.order }, { replace: true });
  };
  /** An order is named by its number where people read it, by its id in the audit. */
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const named = draft.order.trim();
    if (named === "" || ID.test(named)) { seek({ ...draft, order: named }); return; }
    const found = await api.call("list_staff_orders", { query: { number: named, limit: 1 } }).catch(() => ({ items: [] }));
    const [only] = found.items;
    if (only === undefined) setWrong(t("audit.order.none"));
    else seek({ ...draft, order: only.id });
  };
  const save = (rows: readonly Row[]): void => {
    const head = [t("audit.when"), t("audit.what"), "action", t("audit.outcome"), "role", t("audit.actor"), t("audit.subject"), t("audit.order"), t("audit.request")];
    const lines = rows.map((row) => [row.at, action(row.action), row.action, row.outcome, row.actor.role, row.actor.account_id, row.subject, row.order_id, row.request_id]);
    saveAs(toCsv([head, ...lines]), `${t("audit.export.name")}.csv`);
  };
  return (
    <div className="c-screen">
      <Panel>
        <form className="c-filter" role="search" aria-label={t("list.filter")} onSubmit={submit}>
          <Field label={t("audit.actor")}><Input aria-label={t("audit.actor")} placeholder={t("audit.actor.hint")} value={draft.actor} maxLength={64} allowClear onChange={(event) => change({ actor: event.target.value.trim() })} /></Field>
          <Field label={t("audit.actor.doctor")}><DoctorSelect label={t("audit.actor.doctor")} placeholder={t("orders.doctor.any")} value={null} onChange={(id) => seek({ ...draft, actor: id ?? "" })} /></Field>
          <Field label={t("audit.order")}><Input aria-label={t("audit.order")} placeholder={t("audit.order.hint")} value={draft.order} maxLength={40} allowClear onChange={(event) => change({ order: event.target.value })} /></Field>
          <Field label={t("audit.what")}>
            <Select
              aria-label={t("audit.what")} allowClear showSearch={{ optionFilterProp: "label" }} placeholder={t("audit.action.any")} value={draft.action} popupMatchSelectWidth={false}
              onChange={(chosen: string | undefined) => change({ action: chosen ?? null })} options={ACTIONS.map((code) => ({ value: code, label: action(code) }))}
            />
          </Field>
          <Field label={t("list.since")}><Input type="date" aria-label={t("list.since")} value={draft.since} onChange={(event) => change({ since: event.target.value })} /></Field>
          <Field label={t("list.until")}><Input type="date" aria-label={t("list.until")} value={draft.until} onChange={(event) => change({ until: event.target.value })} /></Field>
          <div className="c-filter__buttons">
            <Button type="primary" htmlType="submit" loading={query.isFetching && !query.isFetchingNextPage}>{t("list.search")}</Button>
            <Button onClick={() => seek(NOTHING)}>{t("list.reset")}</Button>
          </div>
        </form>
        {wrong !== null && <p className="c-form__error" role="alert">{wrong}</p>}
        <div className="c-filter__buttons">
          <PatientFinder onFound={({ id }) => seek({ ...draft, actor: id })} />
          <Button icon={<DownloadOutlined />} disabled={!query.items?.length} onClick={() => save(query.items ?? [])}>{t("audit.export")}</Button>
        </div>
      </Panel>
      <Panel flush>
        <Loaded query={{ data: query.items, error: query.error, refetch: query.refetch }}>
          {(rows) => rows.length === 0
            ? <Nothing title={t("audit.none")} hint={t("audit.none.hint")} icon={<AuditOutlined />} />
            : <><Rows rows={rows} onActor={(id) => seek({ ...draft, actor: id })} /><ListFoot count={rows.length} query={query} /></>}
        </Loaded>
      </Panel>
    </div>
  );
}

function Verdict({ proof }: { proof: Models["ProofOut"] }): ReactNode {
  const t = useT();
  const { language } = usePreferences();
  if (proof.state !== "done") {
    return (
      <div className="c-screen" role="status">
        <p>{t(proof.state === "running" ? "verify.running" : "verify.waiting")}</p>
        <div className="c-work" aria-hidden="true" />
      </div>
    );
  }
  const seconds = proof.started_at !== null && proof.finished_at !== null ? (Date.parse(proof.finished_at) - Date.parse(proof.started_at)) / 1000 : 0;
  return (
    <div className="c-screen">
      <p className={proof.holds ? "c-verdict c-verdict--good" : "c-verdict c-verdict--bad"} role="status">
        {proof.holds ? <CheckCircleFilled aria-hidden="true" /> : <WarningFilled aria-hidden="true" />}
        {proof.holds ? t("verify.holds") : t("verify.broken", { count: proof.broken })}
      </p>
      <p>{t("verify.sums", { items: proof.items, streams: proof.streams, checkpoints: proof.checkpoints, uncovered: proof.uncovered })}</p>
      <p className="c-muted">{t("verify.asked", { at: format.exactly(proof.requested_at, language) })} · {t("verify.took", { seconds: seconds.toFixed(1) })}</p>
      {proof.findings.length > 0 && <ul className="c-findings">{proof.findings.map((finding) => <li key={finding}><code>{finding}</code></li>)}</ul>}
    </div>
  );
}

function Verification(): ReactNode {
  const api = useApi();
  const t = useT();
  const tell = useTell();
  const queries = useQueryClient();
  const query = useQuery({
    queryKey: ["verifications"],
    queryFn: ({ signal }) => api.call("list_verifications", { signal }),
    refetchInterval: ({ state }) => (state.data?.items.some((proof) => proof.state !== "done") ? 1_500 : false),
  });
  const start = useMutation({
    mutationFn: () => api.call("verify_history", { body: {} }), onError: tell.failed, onSuccess: () => void queries.invalidateQueries({ queryKey: ["verifications"] }),
  });
  const busy = query.data?.items.some((proof) => proof.state !== "done") ?? false;
  return (
    <div className="c-screen">
      <Panel title={t("verify.title")} extra={<Button type="primary" loading={start.isPending} disabled={busy} onClick={() => start.mutate()}>{t("verify.start")}</Button>}>
        <p className="c-muted">{t("verify.text")}</p>
        {query.isError && <Problem error={query.error} onRetry={() => void query.refetch()} />}
        {query.data?.items[0] && <Verdict proof={query.data.items[0]} />}
      </Panel>
      <Panel title={t("verify.past")} flush>
        {query.data !== undefined && (query.data.items.length < 2
          ? <Nothing title={t("verify.none")} />
          : (
            <StaffTable
              name={t("verify.past")} rows={query.data.items.slice(1)} rowKey="verification_id"
              columns={[
                { title: t("audit.when"), render: (proof) => <When at={proof.requested_at} /> },
                { title: t("audit.outcome"), render: (proof) => <Badge tone={proof.holds ? "success" : "danger"}>{proof.holds ? t("verify.holds") : t("verify.broken", { count: proof.broken })}</Badge> },
                { title: t("verify.title"), render: (proof) => t("verify.sums", { items: proof.items, streams: proof.streams, checkpoints: proof.checkpoints, uncovered: proof.uncovered }) },
              ]}
            />
          ))}
      </Panel>
    </div>
  );
}

export default function Audit(): ReactNode {
  const t = useT();
  return (
    <Screen title={t("audit.title")}>
      <Tabs
        destroyOnHidden
        items={[
          { key: "search", label: t("audit.tab.search"), children: <Search /> },
          { key: "verify", label: t("audit.tab.verify"), children: <Verification /> },
        ]}
      />
    </Screen>
  );
}
