import { CloseOutlined, ProfileOutlined } from "@ant-design/icons";
import { Loaded, type Models, format, useApi } from "@yunzhen/shared";
import { Button, Input, Select } from "antd";
import { type ReactNode, useState } from "react";
import { Link, useSearchParams } from "react-router";
import { DoctorSelect, PatientFinder, type Person, startOfDay } from "../ui/finders";
import { usePages } from "../ui/list";
import { Field, ListFoot, Nothing, Panel, Screen, StatusBadge, When } from "../ui/parts";
import { StaffTable } from "../ui/StaffTable";
import { useT } from "../words";

type Order = Models["OrderOut"];
export const STATUSES = ["pending_payment", "awaiting_doctor", "in_session", "completed", "cancelled", "refunding", "refunded"] as const satisfies readonly Order["status"][];

function usePerson(): (order: Order) => string {
  const t = useT();
  return ({ patient }) => {
    const age = patient.age === null ? "" : ` · ${t("age.years", { age: patient.age })}`;
    return `${patient.name}${age}`;
  };
}

function OrderTable({ orders, loading }: { orders: readonly Order[]; loading: boolean }): ReactNode {
  const t = useT();
  const person = usePerson();
  return (
    <StaffTable
      name={t("orders.title")}
      rows={orders}
      rowKey="id"
      loading={loading}
      columns={[
        { title: t("orders.number"), render: (order) => <Link to={`/orders/${order.id}`}>{order.number}</Link> },
        { title: t("orders.status"), render: (order) => <StatusBadge status={order.status} /> },
        { title: t("orders.patient"), render: person },
        { title: t("orders.doctor"), render: (order) => `${order.doctor.name} · ${order.doctor.department}` },
        { title: t("orders.created"), spare: true, render: (order) => <When at={order.created_at} /> },
        { title: t("orders.deadline"), render: (order) => <When at={order.deadline_at} /> },
        { title: t("orders.fee"), align: "end", render: (order) => format.yuan(order.fee_fen) },
      ]}
    />
  );
}

export default function Orders(): ReactNode {
  const api = useApi();
  const t = useT();
  const [params, setParams] = useSearchParams();
  const status = STATUSES.find((each) => each === params.get("status")) ?? null;
  const [number, setNumber] = useState("");
  const [asked, setAsked] = useState("");
  const [doctor, setDoctor] = useState<string | null>(null);
  const [patient, setPatient] = useState<Person | null>(null);
  const [since, setSince] = useState("");
  const [until, setUntil] = useState("");
  const query = usePages(["orders", status, asked, doctor, patient?.id, since, until], (cursor, signal) =>
    api.call("list_staff_orders", {
      query: {
        status, number: asked || null, doctor_id: doctor, patient_account: patient?.id ?? null, since: startOfDay(since), until: startOfDay(until, true), cursor, limit: 30,
      },
      signal,
    }), 60_000);
  const reset = (): void => {
    setParams({});
    setNumber("");
    setAsked("");
    setDoctor(null);
    setPatient(null);
    setSince("");
    setUntil("");
  };
  return (
    <Screen title={t("orders.title")} actions={<PatientFinder onFound={setPatient} />}>
      <Panel>
        <form className="c-filter" role="search" aria-label={t("list.filter")} onSubmit={(event) => { event.preventDefault(); setAsked(number.trim()); }}>
          <Field label={t("orders.number")}>
            <Input aria-label={t("orders.number")} value={number} maxLength={32} allowClear onChange={(event) => { setNumber(event.target.value); if (event.target.value === "") setAsked(""); }} />
          </Field>
          <Field label={t("orders.status")}>
            <Select
              aria-label={t("orders.status")} allowClear placeholder={t("list.all")} value={status}
              onChange={(chosen: string | undefined) => setParams(chosen ? { status: chosen } : {})}
              options={STATUSES.map((each) => ({ value: each, label: t(`status.${each}`) }))}
            />
          </Field>
          <Field label={t("orders.doctor")}><DoctorSelect label={t("orders.doctor")} placeholder={t("orders.doctor.any")} value={doctor} onChange={setDoctor} /></Field>
          <Field label={t("list.since")}><Input type="date" aria-label={t("list.since")} value={since} onChange={(event) => setSince(event.target.value)} /></Field>
          <Field label={t("list.until")}><Input type="date" aria-label={t("list.until")} value={until} onChange={(event) => setUntil(event.target.value)} /></Field>
          <div className="c-filter__buttons">
            <Button type="primary" htmlType="submit">{t("list.search")}</Button>
            <Button onClick={reset}>{t("list.reset")}</Button>
          </div>
        </form>
        {patient !== null && (
          <div>
            <Button size="small" icon={<CloseOutlined />} iconPlacement="end" aria-label={t("orders.phone.clear")} onClick={() => setPatient(null)}>
              {t("orders.phone.chosen", { name: patient.name })}
            </Button>
          </div>
        )}
      </Panel>
      <Panel flush>
        <Loaded query={{ data: query.items, error: query.error, refetch: query.refetch }}>
          {(orders) => orders.length === 0
            ? <Nothing title={t("orders.none")} hint={t("orders.none.hint")} icon={<ProfileOutlined />} />
            : <><OrderTable orders={orders} loading={query.isPlaceholderData} /><ListFoot count={orders.length} query={query} /></>}
        </Loaded>
      </Panel>
    </Screen>
  );
}
