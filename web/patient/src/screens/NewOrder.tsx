import { type Models, RequestKey, format, useApi, useExplain, usePreferences } from "@yunzhen/shared";
import { type UseQueryResult, useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useId, useState } from "react";
import { Link, useNavigate, useParams } from "react-router";
import { PicturePicker, useChosen } from "../ui/Pictures";
import { type Patient, useDoctor, usePatients, useQuickOffers } from "../queries";
import { Avatar, Blank, Card, Choice } from "../ui/bits";
import { Icon } from "../ui/Icon";
import { Page } from "../ui/Page";
import { Sheet } from "../ui/Sheet";
import { Loaded } from "../ui/Trouble";
import { useT } from "../words";

type Consent = Models["ConsentAnswer"];
type Kind = "consult" | "revisit";
const MOST_IMAGES = 9;
const MOST_LETTERS = 2000;

function useConsent(): UseQueryResult<Consent> {
  const api = useApi();
  const { language } = usePreferences();
  const wanted = language === "en" ? "en" : "zh";
  return useQuery({ queryKey: ["consent", wanted], queryFn: () => api.call("get_consent", { path: { kind: "consult" }, query: { language: wanted } }) });
}

/** Who is asked, and what it costs: a doctor, or the first free one of a department. */
interface Asked {
  name: string;
  about: string;
  feeFen: number;
  of: { doctor_id: string } | { department_id: string };
}

export default function NewOrder(): ReactNode {
  const { id = "" } = useParams();
  const t = useT();
  const doctor = useDoctor(id);
  return (
    <Page title={t("new.title")} up={`/doctors/${id}`}>
      <Loaded query={doctor}>
        {(who) => <Prepared asked={{ name: who.name, about: `${who.title} · ${who.department}`, feeFen: who.fee_fen, of: { doctor_id: id } }} />}
      </Loaded>
    </Page>
  );
}

export function QuickOrder(): ReactNode {
  const { id = "" } = useParams();
  const t = useT();
  const offers = useQuickOffers();
  return (
    <Page title={t("quick.title")} up="/quick">
      <Loaded query={offers}>
        {(all) => {
          const offer = all.find((each) => each.department_id === id);
          if (offer === undefined) return <Blank icon="doctor" title={t("quick.none")} />;
          return <Prepared asked={{ name: offer.department, about: t("quick.first"), feeFen: offer.fee_fen, of: { department_id: id } }} />;
        }}
      </Loaded>
    </Page>
  );
}

function Prepared({ asked }: { asked: Asked }): ReactNode {
  const consent = useConsent();
  const patients = usePatients();
  return (
    <Loaded query={patients}>
      {(whom) => <Loaded query={consent}>{(text) => <Form asked={asked} patients={whom} consent={text} />}</Loaded>}
    </Loaded>
  );
}

interface Draft {
  kind: Kind;
  complaint: string;
}

const UNWRITTEN: Draft = { kind: "consult", complaint: "" };

/** What was written stays while one goes to add a patient and comes back: in this page's memory alone, for this account alone. */
function useDraft(about: string): [Draft, (draft: Draft) => void] {
  const queries = useQueryClient();
  const key = ["new-order", about];
  const [draft, setDraft] = useState(() => queries.getQueryData<Draft>(key) ?? UNWRITTEN);
  return [draft, (next) => { queries.setQueryData(key, next); setDraft(next); }];
}

type Wrong = "patient" | "complaint" | "pictures" | "consent";

function Form({ asked, patients, consent }: { asked: Asked; patients: Patient[]; consent: Consent }): ReactNode {
  const t = useT();
  const api = useApi();
  const explain = useExplain();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const pictures = useChosen(MOST_IMAGES);
  const [key] = useState(() => new RequestKey());
  const [chosen, setChosen] = useState<string | null>(null);
  const [draft, setDraft] = useDraft(JSON.stringify(asked.of));
  const { kind, complaint } = draft;
  const setKind = (next: Kind): void => setDraft({ ...draft, kind: next });
  const setComplaint = (next: string): void => setDraft({ ...draft, complaint: next });
  const [agreed, setAgreed] = useState(false);
  const [records, setRecords] = useState(false);
  const [wrong, setWrong] = useState<Wrong | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const patient = chosen ?? patients[0]?.id ?? null;

  const look = (): Wrong | null => {
    if (patient === null) return "patient";
    if (complaint.trim() === "") return "complaint";
    if (pictures.chosen.some((each) => each.mediaId === null)) return "pictures";
    return agreed ? null : "consent";
  };
  const submit = async (): Promise<void> => {
    const missing = look();
    setWrong(missing);
    setFailure(null);
    if (missing !== null || patient === null) {
      document.getElementById(`new-${missing ?? "patient"}`)?.scrollIntoView({ block: "center" });
      return;
    }
    setBusy(true);
    try {
      const body = {
        patient_id: patient, kind, complaint: complaint.trim(),
        image_ids: pictures.chosen.map((each) => each.mediaId ?? ""),
        consent: { version: consent.version, sha256: consent.sha256, record_access: records },
      };
      const order = await ("doctor_id" in asked.of
        ? api.call("create_order", { idempotencyKey: key.current, body: { ...body, ...asked.of } })
        : api.call("create_quick_order", { idempotencyKey: key.current, body: { ...body, ...asked.of } }));
      queries.setQueryData(["order", order.id], order);
      setDraft(UNWRITTEN);
      void queries.invalidateQueries({ queryKey: ["orders"] });
      await navigate(`/orders/${order.id}/pay`, { replace: true });
    } catch (error) {
      key.failed(error);
      setFailure(explain(error));
      setBusy(false);
    }
  };

  return (
    <>
      <Card className="p-strip">
        <Avatar name={asked.name} />
        <p><strong>{asked.name}</strong><small>{asked.about}</small></p>
        <strong className="p-price">{format.yuan(asked.feeFen)}</strong>
      </Card>
      <Card>
        <PatientPicker patients={patients} chosen={patient} onChoose={setChosen} />
        {wrong === "patient" && <p className="yz-field__error" role="alert">{t("new.patient.needed")}</p>}
      </Card>
      <Card>
        <Choice label={t("new.kind")} value={kind} onChange={setKind} options={[["consult", t("kind.consult")], ["revisit", t("kind.revisit")]]} />
        <p className="yz-field__hint">{t(kind === "consult" ? "new.kind.consult" : "new.kind.revisit")}</p>
      </Card>
      <Card>
        <Complaint value={complaint} wrong={wrong === "complaint"} onChange={setComplaint} />
      </Card>
      <Card>
        <h2 className="p-h3" id="new-pictures">{t("new.pictures")}</h2>
        <p className="yz-field__hint">{t("new.pictures.hint")}</p>
        <PicturePicker chosen={pictures.chosen} most={MOST_IMAGES} onAdd={pictures.add} onRemove={pictures.remove} onRetry={pictures.retry} />
        {wrong === "pictures" && <p className="yz-field__error" role="alert">{t(pictures.busy ? "new.pictures.wait" : "new.pictures.failed")}</p>}
      </Card>
      <Card>
        <Agreement consent={consent} agreed={agreed} wrong={wrong === "consent"} onAgree={setAgreed} />
        <label className="p-check">
          <input type="checkbox" checked={records} onChange={(event) => setRecords(event.target.checked)} />
          <span>{t("consent.records")}<small>{t("consent.records.text")}</small></span>
        </label>
      </Card>
      <footer className="p-footer">
        {failure !== null && <p className="yz-notice yz-notice--bad" role="alert">{failure}</p>}
        <button type="button" className="yz-button yz-button--block" disabled={busy} onClick={() => void submit()}>
          {t(busy ? "new.sending" : "new.submit", { amount: format.yuan(asked.feeFen) })}
        </button>
      </footer>
    </>
  );
}

function PatientPicker({ patients, chosen, onChoose }: { patients: Patient[]; chosen: string | null; onChoose: (id: string) => void }): ReactNode {
  const t = useT();
  return (
    <fieldset className="p-plain" id="new-patient">
      <legend className="p-h3">{t("new.patient")}</legend>
      <div className="p-people">
        {patients.map((patient) => (
          <label key={patient.id} className="p-people__one">
            <input type="radio" name="patient" value={patient.id} aria-label={`${patient.name} ${t(`sex.${patient.sex}`)}`} checked={patient.id === chosen} onChange={() => onChoose(patient.id)} />
            <span><strong>{patient.name}</strong><small>{t(`sex.${patient.sex}`)}</small></span>
          </label>
        ))}
        <Link className="p-people__add" to="/patients/new"><Icon name="plus" />{t("patients.add")}</Link>
      </div>
    </fieldset>
  );
}

function Complaint({ value, wrong, onChange }: { value: string; wrong: boolean; onChange: (text: string) => void }): ReactNode {
  const t = useT();
  const id = useId();
  return (
    <div className="yz-field" id="new-complaint">
      <label className="p-h3" htmlFor={id}>{t("new.complaint")}</label>
      <span className="yz-field__hint" id={`${id}-hint`}>{t("new.complaint.hint")}</span>
      <textarea
        id={id} className="p-textarea" rows={6} maxLength={MOST_LETTERS} value={value} placeholder={t("new.complaint.placeholder")}
        aria-describedby={`${id}-hint`} aria-invalid={wrong} onChange={(event) => onChange(event.target.value)}
      />
      <span className="p-count">{value.length}/{MOST_LETTERS}</span>
      {wrong && <span className="yz-field__error" role="alert">{t("new.complaint.needed")}</span>}
    </div>
  );
}

interface AgreementProps {
  consent: Consent;
  agreed: boolean;
  wrong: boolean;
  onAgree: (agreed: boolean) => void;
}

function Agreement({ consent, agreed, wrong, onAgree }: AgreementProps): ReactNode {
  const t = useT();
  const [open, setOpen] = useState(false);
  return (
    <div id="new-consent">
      <h2 className="p-h3">{t("consent.title")}</h2>
      <button type="button" className="yz-link" onClick={() => setOpen(true)}>{t("consent.read", { title: consent.title, version: consent.version })}</button>
      <label className="p-check">
        <input type="checkbox" checked={agreed} aria-invalid={wrong} onChange={(event) => onAgree(event.target.checked)} />
        <span>{t("consent.agree", { title: consent.title })}</span>
      </label>
      {wrong && <p className="yz-field__error" role="alert">{t("consent.needed")}</p>}
      {open && (
        <Sheet tall title={consent.title} onClose={() => setOpen(false)}>
          <p className="yz-field__hint">{t("consent.version", { version: consent.version })}</p>
          <p className="p-prose">{consent.text}</p>
          <button type="button" className="yz-button yz-button--block" onClick={() => { onAgree(true); setOpen(false); }}>{t("consent.agree.short")}</button>
        </Sheet>
      )}
    </div>
  );
}
