/** Choosing whose orders or deeds: a doctor by name or pinyin, a patient by phone. */
import { SearchOutlined } from "@ant-design/icons";
import { useApi } from "@yunzhen/shared";
import { useMutation, useQuery } from "@tanstack/react-query";
import { Button, Input, Modal, Select } from "antd";
import { type ReactNode, type SubmitEvent, useId, useState } from "react";
import { useT } from "../words";
import { Problem } from "./parts";

const PHONE = /^1[3-9]\d{9}$/;

export interface Person {
  id: string;
  name: string;
}

export function DoctorSelect({ label, placeholder, value, onChange }: { label: string; placeholder: string; value: string | null; onChange: (id: string | null) => void }): ReactNode {
  const api = useApi();
  const [q, setQ] = useState("");
  const query = useQuery({
    queryKey: ["doctors-of-all", q],
    queryFn: ({ signal }) => api.call("list_doctors", { query: { q: q || null, limit: 50 }, signal }),
    placeholderData: (before) => before,
  });
  return (
    <Select
      aria-label={label}
      allowClear
      showSearch={{ filterOption: false, onSearch: setQ }}
      placeholder={placeholder}
      value={value}
      loading={query.isFetching}
      onChange={(id: string | undefined) => onChange(id ?? null)}
      options={(query.data?.items ?? []).map((doctor) => ({ value: doctor.id, label: `${doctor.name} · ${doctor.department}` }))}
    />
  );
}

/** Asks for a phone in a body, and hands on the account's id, which is no personal detail. */
export function PatientFinder({ onFound }: { onFound: (person: Person) => void }): ReactNode {
  const api = useApi();
  const t = useT();
  const id = useId();
  const [open, setOpen] = useState(false);
  const [phone, setPhone] = useState("");
  const [wrong, setWrong] = useState<string | null>(null);
  const find = useMutation({
    mutationFn: () => api.call("find_patient_account", { body: { phone } }),
    onSuccess: ({ account_id, name }) => {
      if (account_id === null) { setWrong(t("orders.phone.none")); return; }
      close();
      onFound({ id: account_id, name: name ?? "" });
    },
  });
  const close = (): void => {
    setOpen(false);
    setPhone("");
    setWrong(null);
    find.reset();
  };
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    if (PHONE.test(phone)) find.mutate();
    else setWrong(t("login.phone.invalid"));
  };
  return (
    <>
      <Button icon={<SearchOutlined />} onClick={() => setOpen(true)}>{t("orders.phone.find")}</Button>
      <Modal title={t("orders.phone.find")} open={open} onCancel={close} footer={null} destroyOnHidden>
        <form className="c-form" onSubmit={submit} noValidate>
          <div className="c-form__row">
            <label className="c-form__label" htmlFor={id}>{t("orders.phone")}</label>
            <Input
              id={id} value={phone} inputMode="numeric" autoComplete="off" maxLength={11} aria-describedby={`${id}-hint`} aria-invalid={wrong !== null}
              onChange={(event) => { setPhone(event.target.value.trim()); setWrong(null); }}
            />
            <span id={`${id}-hint`} className="c-form__hint">{t("orders.phone.hint")}</span>
            <span className="c-form__error" role="status">{wrong}</span>
          </div>
          {find.isError && <Problem error={find.error} />}
          <Button type="primary" htmlType="submit" loading={find.isPending}>{t("list.search")}</Button>
        </form>
      </Modal>
    </>
  );
}

/** The instant at which a local day begins, for a server that asks for instants; `next` for the day after. */
export function startOfDay(day: string, next = false): string | null {
  if (day === "") return null;
  const at = new Date(`${day}T00:00:00`);
  if (next) at.setDate(at.getDate() + 1);
  return Number.isNaN(at.getTime()) ? null : at.toISOString();
}
