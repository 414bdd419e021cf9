import { MedicineBoxOutlined, PlusOutlined } from "@ant-design/icons";
import { Loaded, type Models, format, newKey, useApi } from "@yunzhen/shared";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Button, Drawer, Input, Modal, Select } from "antd";
import { type ReactNode, type SubmitEvent, useState } from "react";
import { fenOf, yuanOf } from "../rules/money";
import { FormRow } from "../ui/Form";
import { usePages } from "../ui/list";
import { Field, ListFoot, Nothing, Panel, Problem, Screen, useTell } from "../ui/parts";
import { StaffTable } from "../ui/StaffTable";
import { useT } from "../words";

type Doctor = Models["AuthorisedDoctorAnswer"];
const PHONE = /^1[3-9]\d{9}$/;

function useDepartments(): { value: string; label: string }[] {
  const api = useApi();
  const query = useQuery({ queryKey: ["departments"], queryFn: ({ signal }) => api.call("list_departments", { signal }), staleTime: 300_000 });
  return (query.data?.items ?? []).map(({ id, name }) => ({ value: id, label: name }));
}

/** One doctor's form, new or known; only what was changed is sent. */
function DoctorForm({ doctor, onClose }: { doctor: Doctor | null; onClose: () => void }): ReactNode {
  const api = useApi();
  const t = useT();
  const tell = useTell();
  const queries = useQueryClient();
  const departments = useDepartments();
  const [key, setKey] = useState(newKey);
  const [shown, setShown] = useState(false);
  const [values, setValues] = useState({
    name: doctor?.name ?? "", title: doctor?.title ?? "", department_id: doctor?.department.id ?? "", good_at: doctor?.good_at ?? "",
    fee: doctor === null ? "" : yuanOf(doctor.fee_fen), phone: "", staff_number: doctor?.staff_number ?? "",
  });
  const set = (part: Partial<typeof values>): void => {
    setValues({ ...values, ...part });
    setKey(newKey());
  };
  const fee = fenOf(values.fee);
  const save = useMutation({
    mutationFn: async (fee_fen: number): Promise<void> => {
      const { name, title, department_id, good_at, phone } = values;
      const body = { name, title, department_id, good_at, fee_fen, staff_number: values.staff_number.trim() || null };
      if (doctor === null) await api.call("add_doctor", { body: { ...body, phone }, idempotencyKey: key });
      else await api.call("change_doctor", { path: { doctor_id: doctor.id }, body: { ...body, phone: phone || null }, idempotencyKey: key });
    },
    onSuccess: () => {
      tell.done(doctor === null ? "doctors.added" : "doctors.changed");
      void queries.invalidateQueries({ queryKey: ["doctors"] });
      onClose();
    },
  });
  const needed = (text: string): string | undefined => (shown && text.trim() === "" ? t("login.required") : undefined);
  const phoneOk = PHONE.test(values.phone) || (doctor !== null && values.phone === "");
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    setShown(true);
    if (fee !== null && phoneOk && [values.name, values.title, values.department_id].every((each) => each.trim() !== "")) save.mutate(fee);
  };
  return (
    <form className="c-form" onSubmit={submit} noValidate>
      <FormRow label={t("doctors.name")} error={needed(values.name)}><Input value={values.name} maxLength={60} onChange={(event) => set({ name: event.target.value })} /></FormRow>
      <FormRow label={t("doctors.jobTitle")} error={needed(values.title)}><Input value={values.title} maxLength={60} onChange={(event) => set({ title: event.target.value })} /></FormRow>
      <FormRow label={t("trace.staffNumber")} hint={t("doctors.staffNumber.hint")}><Input value={values.staff_number} maxLength={16} autoComplete="off" onChange={(event) => set({ staff_number: event.target.value })} /></FormRow>
      <FormRow label={t("orders.department")} error={needed(values.department_id)}>
        <Select aria-label={t("orders.department")} value={values.department_id || null} options={departments} onChange={(department_id: string) => set({ department_id })} />
      </FormRow>
      <FormRow label={t("doctors.goodAt")}><Input.TextArea rows={3} maxLength={500} value={values.good_at} onChange={(event) => set({ good_at: event.target.value })} /></FormRow>
      <FormRow label={t("doctors.fee")} error={shown && fee === null ? t("doctors.fee.invalid") : undefined}>
        <Input inputMode="decimal" prefix="¥" value={values.fee} onChange={(event) => set({ fee: event.target.value })} />
      </FormRow>
      <FormRow
        label={t("doctors.phone")} hint={doctor === null ? undefined : `${doctor.phone} · ${t("doctors.phone.keep")}. ${t("doctors.phone.change")}`}
        error={shown && !phoneOk ? t("login.phone.invalid") : undefined}
      >
        <Input inputMode="numeric" autoComplete="off" maxLength={11} value={values.phone} onChange={(event) => set({ phone: event.target.value.trim() })} />
      </FormRow>
      {save.isError && <Problem error={save.error} />}
      <Button type="primary" htmlType="submit" loading={save.isPending}>{t("list.save")}</Button>
    </form>
  );
}

function Remove({ doctor, onClose }: { doctor: Doctor; onClose: () => void }): ReactNode {
  const api = useApi();
  const t = useT();
  const tell = useTell();
  const queries = useQueryClient();
  const remove = useMutation({
    mutationFn: () => api.call("remove_doctor", { path: { doctor_id: doctor.id } }),
    onSuccess: () => {
      tell.done("doctors.removed");
      onClose();
    },
    onSettled: () => void queries.invalidateQueries({ queryKey: ["doctors"] }),
  });
  return (
    <Modal
      title={t("doctors.remove.title", { name: doctor.name })} open onCancel={onClose} onOk={() => remove.mutate()} confirmLoading={remove.isPending}
      okText={t("doctors.remove")} okButtonProps={{ danger: true }} cancelText={t("common.cancel")}
    >
      <p>{t("doctors.remove.text")}</p>
      {remove.isError && <Problem error={remove.error} />}
    </Modal>
  );
}

export default function Doctors(): ReactNode {
  const api = useApi();
  const t = useT();
  const departments = useDepartments();
  const [q, setQ] = useState("");
  const [department, setDepartment] = useState<string | null>(null);
  const [open, setOpen] = useState<Doctor | "new" | null>(null);
  const [removing, setRemoving] = useState<Doctor | null>(null);
  const query = usePages(["doctors", q, department], (cursor, signal) =>
    api.call("list_authorised_doctors", { query: { q: q || null, department_id: department, cursor, limit: 50 }, signal }));
  const known = open === "new" ? null : open;
  return (
    <Screen title={t("doctors.title")} lead={t("doctors.text")} actions={<Button type="primary" icon={<PlusOutlined />} onClick={() => setOpen("new")}>{t("doctors.add")}</Button>}>
      <Panel>
        <div className="c-filter" role="search" aria-label={t("list.filter")}>
          <Field label={t("list.search")}><Input.Search aria-label={t("doctors.search")} placeholder={t("doctors.search")} allowClear maxLength={60} onSearch={setQ} /></Field>
          <Field label={t("orders.department")}>
            <Select aria-label={t("orders.department")} allowClear placeholder={t("list.all")} value={department} options={departments} onChange={(id: string | undefined) => setDepartment(id ?? null)} />
          </Field>
        </div>
      </Panel>
      <Panel flush>
        <Loaded query={{ data: query.items, error: query.error, refetch: query.refetch }}>
          {(doctors) => doctors.length === 0 ? <Nothing title={t("doctors.none")} icon={<MedicineBoxOutlined />} /> : (
            <>
              <StaffTable
                name={t("doctors.title")} rows={doctors} rowKey="id"
                columns={[
                  { title: t("doctors.name"), render: (doctor) => <strong>{doctor.name}</strong> },
                  { title: t("trace.staffNumber"), spare: true, render: (doctor) => <code>{doctor.staff_number}</code> },
                  { title: t("doctors.jobTitle"), render: (doctor) => doctor.title },
                  { title: t("orders.department"), render: (doctor) => doctor.department.name },
                  { title: t("doctors.phone"), render: (doctor) => doctor.phone },
                  { title: t("orders.fee"), align: "end", render: (doctor) => format.yuan(doctor.fee_fen) },
                  {
                    title: t("list.actions"),
                    render: (doctor) => (
                      <span className="c-tags">
                        <Button size="small" aria-label={`${t("list.edit")} ${doctor.name}`} onClick={() => setOpen(doctor)}>{t("list.edit")}</Button>
                        <Button size="small" danger aria-label={`${t("doctors.remove")} ${doctor.name}`} onClick={() => setRemoving(doctor)}>{t("doctors.remove")}</Button>
                      </span>
                    ),
                  },
                ]}
              />
              <ListFoot count={doctors.length} query={query} />
            </>
          )}
        </Loaded>
      </Panel>
      <Drawer title={known === null ? t("doctors.add") : t("doctors.edit", { name: known.name })} open={open !== null} onClose={() => setOpen(null)} size={460} destroyOnHidden>
        {open !== null && <DoctorForm key={known?.id ?? "new"} doctor={known} onClose={() => setOpen(null)} />}
      </Drawer>
      {removing !== null && <Remove doctor={removing} onClose={() => setRemoving(null)} />}
    </Screen>
  );
}
