import { ArrowLeftOutlined, DownloadOutlined } from "@ant-design/icons";
import { Loaded, type Models, format, useApi, usePreferences } from "@yunzhen/shared";
import { useMutation, useQuery } from "@tanstack/react-query";
import { Alert, Button, Segmented } from "antd";
import { Fragment, type ReactNode, useMemo, useState } from "react";
import { Link, useParams } from "react-router";
import { type Dossier, type Group, type Line, type Row, story } from "../rules/story";
import { AskReveal } from "../ui/AskReveal";
import { DeadlineProof } from "../ui/Deadlines";
import { SearchMessages } from "../ui/SearchMessages";
import { saveAs } from "../ui/files";
import { useMay } from "../ui/me";
import { Badge, Nothing, Panel, Problem, Screen, StatusBadge, When, useTell } from "../ui/parts";
import { useAction, useT } from "../words";

type Order = Models["OrderOut"];
type Entry = Dossier["entries"][number];
const MOST_ROWS = 1_000;
const GROUPS = ["all", "said", "money", "records", "order", "staff"] as const satisfies readonly (Group | "all")[];

function Summary({ order, dossier }: { order: Order; dossier: Dossier | null }): ReactNode {
  const t = useT();
  const { patient, doctor, replies } = order;
  const age = patient.age === null ? "" : ` · ${t("age.years", { age: patient.age })}`;
  const sex = patient.sex === "male" || patient.sex === "female" ? ` · ${t(`sex.${patient.sex}`)}` : "";
  const facts: [string, ReactNode][] = [
    [t("orders.patient"), `${patient.name}${sex}${age}`],
    [t("orders.doctor"), `${doctor.name} · ${doctor.title} · ${doctor.department}`],
    [t("order.kind"), t(`kind.${order.kind}`)],
    [t("order.complaint"), order.complaint],
    [t("orders.fee"), format.yuan(order.fee_fen)],
    ...(order.refunded_fen > 0 ? [[t("order.refunded"), format.yuan(order.refunded_fen)] as [string, ReactNode]] : []),
    [t("order.replies"), `${t("order.replies.of", { used: replies.used, limit: replies.limit })}${replies.gifted > 0 ? t("order.replies.gifted", { gifted: replies.gifted }) : ""}`],
    [t("orders.created"), <When key="c" at={order.created_at} />],
    [t("order.paid"), <When key="p" at={order.paid_at} />],
    [t("orders.deadline"), <When key="d" at={order.deadline_at} />],
    [t("order.closed"), <When key="e" at={order.closed_at} />],
    ...(order.close_reason !== null ? [[t("order.reason"), t(`close.${order.close_reason as "quota"}`)] as [string, ReactNode]] : []),
    ...(order.rating !== null ? [[t("order.rating"), `${t("order.rating.stars", { stars: order.rating.stars })}${order.rating.text ? ` · ${order.rating.text}` : ""}`] as [string, ReactNode]] : []),
  ];
  return (
    <>
      <Panel title={t("order.summary")} extra={<StatusBadge status={order.status} />}>
        <dl className="c-facts">{facts.map(([name, value]) => <Fragment key={name}><dt>{name}</dt><dd>{value}</dd></Fragment>)}</dl>
      </Panel>
      {dossier !== null && dossier.payments.length > 0 && (
        <Panel title={t("order.money.title")}>
          <dl className="c-facts">
            {dossier.payments.map((each) => <Fragment key={each.payment_id}><dt>{t(`paid.${each.status}`)}</dt><dd>{format.yuan(each.amount_fen)} · {t(`channel.${each.channel}`)}</dd></Fragment>)}
            {dossier.refunds.map((each) => <Fragment key={each.refund_id}><dt>{t("refunds.title")}</dt><dd>{format.yuan(each.amount_fen)} · {t(`refund.status.${each.status}`)}</dd></Fragment>)}
          </dl>
        </Panel>
      )}
    </>
  );
}

function Words({ entry, orderId }: { entry: Entry; orderId: string }): ReactNode {
  const t = useT();
  const mayAsk = useMay("revealAsk");
  if (entry.recalled) return <p className="c-story__words c-story__words--gone">{t("order.said.recalled")} {mayAsk && <AskReveal orderId={orderId} seq={entry.seq} />}</p>;
  if (entry.recalls !== null) return <p className="c-story__who">{t("order.said.recalls", { seq: entry.recalls })}</p>;
  const said = entry.parts.map((part) => {
    const kind = String(part["kind"]);
    if (kind === "text") return String(part["text"]);
    return kind === "image" || kind === "voice" || kind === "card" ? t(`order.said.${kind}`) : "";
  }).filter((text) => text !== "");
  return said.length > 0 && <p className="c-story__words">{said.join("\n")}</p>;
}

function useActor(order: Order): (line: Line) => string {
  const t = useT();
  return ({ actor }) => {
    if (actor === null) return "";
    const known = actor.name ?? (actor.accountId === order.doctor.id ? order.doctor.name : null);
    const role = ["patient", "doctor", "staff", "system", "anonymous"].includes(actor.role) ? t(`role.${actor.role as "patient"}`) : actor.role;
    return known === null || known === "" ? role : `${role} ${known}`;
  };
}

function Step({ line, who, orderId }: { line: Line; who: string; orderId: string }): ReactNode {
  const t = useT();
  const action = useAction();
  const { language } = usePreferences();
  const { entry, view } = line;
  return (
    <li className="c-story__line">
      <time className="c-story__at" dateTime={line.at} title={format.exactly(line.at, language)}>
        {new Date(line.at).toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false })}
      </time>
      <span className={`c-story__dot c-story__dot--${line.denied ? "denied" : line.group}`} aria-hidden="true" />
      <div>
        <div className="c-story__head">
          <span className="c-story__what">{action(line.action)}</span>
          {line.amountFen !== null && <span className="c-money">{format.yuan(line.amountFen)}</span>}
          {line.denied && <Badge tone="danger">{t("order.denied")}</Badge>}
          <span className="c-story__who">{who}{entry !== null && ` · ${t("order.said.seq", { seq: entry.seq })}`}</span>
        </div>
        {entry?.closes != null && <p className="c-story__who">{t(`close.${entry.closes as "quota"}`)}</p>}
        {entry !== null && <Words entry={entry} orderId={orderId} />}
        {view !== null && <p className="c-story__who">{t("order.record", { title: view.title, page: view.page })} · {t("order.record.view", { id: view.view_id })}</p>}
      </div>
    </li>
  );
}

function Timeline({ order, rows, dossier }: { order: Order; rows: readonly Row[]; dossier: Dossier | null }): ReactNode {
  const t = useT();
  const who = useActor(order);
  const { language } = usePreferences();
  const [group, setGroup] = useState<Group | "all">("all");
  const lines = useMemo(() => story(rows, dossier), [rows, dossier]);
  // Looks of supervision would bury what happened, so they have a place of their own.
  const shown = lines.filter((line) => (group === "all" ? line.group !== "staff" : line.group === group));
  const day = (line: Line): string => new Date(line.at).toLocaleDateString(language, { dateStyle: "full" });
  return (
    <Panel title={t("order.timeline")}>
      <Segmented<Group | "all"> aria-label={t("order.filter")} value={group} onChange={setGroup} options={GROUPS.map((each) => ({ value: each, label: t(`order.group.${each}`) }))} />
      {dossier === null && <Alert type="info" showIcon title={t("order.noDossier")} />}
      {shown.length === 0 && <Nothing title={t("order.nothing")} />}
      <ol className="c-story">
        {shown.map((line, n) => {
          const before = shown[n - 1];
          return (
            <Fragment key={line.id}>
              {(before === undefined || day(before) !== day(line)) && <li className="c-story__day">{day(line)}</li>}
              <Step line={line} who={who(line)} orderId={order.id} />
            </Fragment>
          );
        })}
      </ol>
    </Panel>
  );
}

function useRows(orderId: string) {
  const api = useApi();
  return useQuery({
    queryKey: ["timeline", orderId],
    queryFn: async ({ signal }) => {
      const rows: Row[] = [];
      let cursor: string | null = null;
      do {
        const page: Models["AuditPage"] = await api.call("view_order_timeline", { path: { order_id: orderId }, query: { limit: 100, cursor }, signal });
        rows.push(...page.items);
        cursor = page.next_cursor ?? null;
      } while (cursor !== null && rows.length < MOST_ROWS);
      return rows;
    },
  });
}

function Export({ order }: { order: Order }): ReactNode {
  const api = useApi();
  const t = useT();
  const tell = useTell();
  const save = useMutation({
    mutationFn: () => api.bytes(`/api/v1/admin/orders/${encodeURIComponent(order.id)}/fhir`),
    onSuccess: (bytes) => saveAs(bytes, `${order.number}.fhir.json`),
    onError: tell.failed,
  });
  return <Button icon={<DownloadOutlined />} loading={save.isPending} onClick={() => save.mutate()}>{t("order.export")}</Button>;
}

export default function OrderScreen(): ReactNode {
  const { orderId = "" } = useParams();
  const api = useApi();
  const t = useT();
  const [mayDossier, mayExport, mayAudit, maySearch] = [useMay("dossier"), useMay("export"), useMay("audit"), useMay("said")];
  const order = useQuery({ queryKey: ["order", orderId], queryFn: ({ signal }) => api.call("view_staff_order", { path: { order_id: orderId }, signal }) });
  const rows = useRows(orderId);
  const dossier = useQuery({
    queryKey: ["dossier", orderId], enabled: mayDossier, queryFn: ({ signal }) => api.call("view_order_dossier", { path: { order_id: orderId }, signal }),
  });
  const actions = (
    <>
      <Link to="/orders"><ArrowLeftOutlined aria-hidden="true" /> {t("order.back")}</Link>
      {maySearch && order.data && <SearchMessages order={order.data} />}
      {mayAudit && <Link to={`/audit?order=${orderId}`}>{t("order.audit")}</Link>}
      {mayExport && order.data && <Export order={order.data} />}
    </>
  );
  return (
    <Screen title={order.data === undefined ? t("orders.title") : `${t("refunds.order")} ${order.data.number}`} actions={actions}>
      <Loaded query={order}>
        {(found) => (
          <div className="c-columns c-columns--order">
            <div className="c-screen">
              <Summary order={found} dossier={dossier.data ?? null} />
              {dossier.data !== undefined && dossier.data.entries.length > 0 && <DeadlineProof deadlines={dossier.data.deadlines} />}
            </div>
            <div className="c-screen">
              {dossier.isError && <Problem error={dossier.error} onRetry={() => void dossier.refetch()} />}
              <Loaded query={rows}>{(all) => <Timeline order={found} rows={all} dossier={dossier.data ?? null} />}</Loaded>
            </div>
          </div>
        )}
      </Loaded>
    </Screen>
  );
}
