import { type Models, ApiError, Field, RequestKey, useApi, useExplain, useRuntime } from "@yunzhen/shared";
import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { useNavigate, useParams } from "react-router";
import { type FormError, ID_TYPES, type PatientForm as FormValues, check, dayInChina, needsGuardian, normal } from "../patients";
import { type Patient, usePatients } from "../queries";
import { ButtonRow, Card, Choice, Switch } from "../ui/bits";
import { Page } from "../ui/Page";
import { Confirm } from "../ui/Sheet";
import { Loaded } from "../ui/Trouble";
import { useTellFailure, useToast } from "../ui/toast";
import { useT } from "../words";

const BLANK: FormValues = { name: "", id_type: "resident", id_number: "", phone: "", birth_date: "", sex: "", guardian_name: "", guardian_id: "", default: false };

export default function PatientForm(): ReactNode {
  const { id } = useParams();
  const t = useT();
  const query = usePatients();
  return (
    <Page title={t(id === undefined ? "patients.add" : "patients.change")} up="/patients">
      {id === undefined ? <Adding /> : (
        <Loaded query={query}>
          {(patients) => {
            const patient = patients.find((each) => each.id === id);
            return patient === undefined ? <p className="p-lead">{t("patients.gone")}</p> : <Changing patient={patient} />;
          }}
        </Loaded>
      )}
    </Page>
  );
}

type Wrong = Partial<Record<keyof FormValues, FormError>>;

/** The fields that the server names, by ours. */
const SERVERS: Record<string, keyof FormValues> = {
  name: "name", id_number: "id_number", phone: "phone", birth_date: "birth_date", sex: "sex", guardian: "guardian_name",
  "guardian.name": "guardian_name", "guardian.id_number": "guardian_id",
};

function Adding(): ReactNode {
  const t = useT();
  const api = useApi();
  const { clock } = useRuntime();
  const explain = useExplain();
  const tell = useToast();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [key] = useState(() => new RequestKey());
  const [form, setForm] = useState(BLANK);
  const [wrong, setWrong] = useState<Wrong>({});
  const [failure, setFailure] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const [today] = useState(() => dayInChina(clock.now()));
  const guarded = needsGuardian(form, today);
  const put = (change: Partial<FormValues>): void => {
    setForm({ ...form, ...change });
    setWrong(Object.fromEntries(Object.entries(wrong).filter(([name]) => !(name in change))));
  };
  const save = async (): Promise<void> => {
    const found = check(form, today);
    setWrong(found);
    setFailure(null);
    if (Object.keys(found).length > 0) return;
    setBusy(true);
    try {
      await api.call("add_patient", { body: bodyOf(form, guarded), idempotencyKey: key.current });
      await queries.invalidateQueries({ queryKey: ["patients"] });
      tell(t("patients.saved"));
      await navigate(-1);
    } catch (error) {
      key.failed(error);
      if (error instanceof ApiError && error.code === "request.invalid") setWrong(fromServer(error.fields));
      setFailure(explain(error));
      setBusy(false);
    }
  };
  const error = (name: keyof FormValues): string | undefined => {
    const code = wrong[name];
    return code === undefined ? undefined : t(`patients.wrong.${code}`);
  };
  return (
    <form noValidate onSubmit={(event) => { event.preventDefault(); void save(); }}>
      <Card className="p-form">
        <Field label={t("patients.name")} hint={t("patients.name.hint")} value={form.name} maxLength={60} autoComplete="name" error={error("name")} onChange={(event) => put({ name: event.target.value })} />
        <Choice label={t("patients.idType")} value={form.id_type} options={ID_TYPES.map((each) => [each, t(`id.${each}`)] as const)} onChange={(id_type) => put({ id_type })} />
        <Field
          label={t(`id.${form.id_type}.number`)} value={form.id_number} maxLength={32} autoCapitalize="characters" autoComplete="off" error={error("id_number")}
          hint={form.id_type === "resident" ? t("patients.id.hint") : undefined} onChange={(event) => put({ id_number: event.target.value })}
        />
        {form.id_type !== "resident" && (
          <>
            <Field label={t("patients.birth")} type="date" max={today} value={form.birth_date} error={error("birth_date")} onChange={(event) => put({ birth_date: event.target.value })} />
            <Choice label={t("patients.sex")} value={form.sex === "" ? "none" : form.sex} options={[["female", t("sex.female")], ["male", t("sex.male")]]} onChange={(sex: "female" | "male" | "none") => put({ sex: sex === "none" ? "" : sex })} />
            {wrong.sex !== undefined && <p className="yz-field__error" role="alert">{error("sex")}</p>}
          </>
        )}
        <Field label={t("patients.phone")} type="tel" inputMode="numeric" value={form.phone} maxLength={11} autoComplete="tel-national" error={error("phone")} onChange={(event) => put({ phone: event.target.value.trim() })} />
      </Card>
      {guarded && (
        <Card className="p-form">
          <h2 className="p-h3">{t("patients.guardian.title")}</h2>
          <p className="yz-field__hint">{t("patients.guardian.why")}</p>
          <Field label={t("patients.guardian.name")} value={form.guardian_name} maxLength={60} error={error("guardian_name")} onChange={(event) => put({ guardian_name: event.target.value })} />
          <Field label={t("patients.guardian.id")} value={form.guardian_id} maxLength={32} autoCapitalize="characters" error={error("guardian_id")} onChange={(event) => put({ guardian_id: event.target.value })} />
        </Card>
      )}
      <Card className="p-rows"><Switch label={t("patients.makeDefault")} checked={form.default} onChange={(on) => put({ default: on })} /></Card>
      <footer className="p-footer">
        {failure !== null && <p className="yz-notice yz-notice--bad" role="alert">{failure}</p>}
        <button type="submit" className="yz-button yz-button--block" disabled={busy}>{t("common.save")}</button>
      </footer>
    </form>
  );
}

function bodyOf(form: FormValues, guarded: boolean): Models["PatientBody"] {
  const documentSays = form.id_type === "resident";
  return {
    name: form.name.trim(), id_type: form.id_type, id_number: normal(form.id_number), phone: form.phone, default: form.default,
    birth_date: documentSays ? null : form.birth_date,
    sex: documentSays || form.sex === "" ? null : form.sex,
    guardian: guarded ? { name: form.guardian_name.trim(), id_number: normal(form.guardian_id) } : null,
  };
}

function fromServer(fields: ApiError["fields"]): Wrong {
  const found: Wrong = {};
  for (const name of Object.keys(fields)) {
    const ours = SERVERS[name];
    if (ours !== undefined && ours !== "id_type" && ours !== "default") found[ours] = ours;
  }
  return found;
}

/** What may be changed of one that is there: the number stays as it was checked. */
function Changing({ patient }: { patient: Patient }): ReactNode {
  const t = useT();
  const api = useApi();
  const tell = useToast();
  const fail = useTellFailure();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [name, setName] = useState(patient.name);
  const [phone, setPhone] = useState("");
  const [isDefault, setDefault] = useState(patient.default);
  const [removing, setRemoving] = useState(false);
  const [busy, setBusy] = useState(false);
  const done = async (words: string): Promise<void> => {
    await queries.invalidateQueries({ queryKey: ["patients"] });
    tell(words);
    await navigate("/patients", { replace: true });
  };
  const act = async (work: () => Promise<unknown>, words: string): Promise<void> => {
    setBusy(true);
    try {
      await work();
      await done(words);
    } catch (error) {
      fail(error);
      setBusy(false);
      setRemoving(false);
    }
  };
  const path = { patient_id: patient.id };
  const body = {
    ...(name.trim() === patient.name ? {} : { name: name.trim() }),
    ...(phone === "" ? {} : { phone }),
    ...(isDefault && !patient.default ? { default: true } : {}),
  } as Models["PatientChangeBody"]; // what is not named stays as it is
  const badPhone = phone !== "" && !/^1[3-9]\d{9}$/.test(phone);
  return (
    <form noValidate onSubmit={(event) => { event.preventDefault(); if (!badPhone) void act(() => api.call("change_patient", { path, body }), t("patients.saved")); }}>
      <Card className="p-form">
        <Field label={t("patients.name")} value={name} maxLength={60} onChange={(event) => setName(event.target.value)} />
        <dl className="p-facts">
          <dt>{t(`id.${patient.id_type}`)}</dt><dd>{patient.id_number}</dd>
          <dt>{t("patients.sex")}</dt><dd>{t(`sex.${patient.sex}`)}</dd>
          {patient.birth_date !== null && <><dt>{t("patients.birth")}</dt><dd>{patient.birth_date}</dd></>}
          {patient.guardian !== null && <><dt>{t("patients.guardian.title")}</dt><dd>{patient.guardian.name} · {patient.guardian.id_number}</dd></>}
        </dl>
        <Field label={t("patients.phone.new")} hint={t("patients.phone.now", { phone: patient.phone })} type="tel" inputMode="numeric" maxLength={11} value={phone} error={badPhone ? t("patients.wrong.phone") : undefined} onChange={(event) => setPhone(event.target.value.trim())} />
      </Card>
      <Card className="p-rows">
        <Switch label={t("patients.makeDefault")} checked={isDefault} onChange={(on) => setDefault(on || patient.default)} />
        <ButtonRow danger title={t("patients.remove")} onClick={() => setRemoving(true)} />
      </Card>
      <footer className="p-footer">
        <button type="submit" className="yz-button yz-button--block" disabled={busy || name.trim() === "" || Object.keys(body).length === 0}>{t("common.save")}</button>
      </footer>
      {removing && (
        <Confirm
          danger busy={busy} title={t("patients.remove")} text={t("patients.remove.text", { name: patient.name })} confirm={t("patients.remove.confirm")}
          onConfirm={() => void act(() => api.call("remove_patient", { path }), t("patients.removed"))} onClose={() => setRemoving(false)}
        />
      )}
    </form>
  );
}
