import { ApiError, CodeButton, Field, useApi, useExplain, useRuntime } from "@yunzhen/shared";
import { type ReactNode, useState } from "react";
import { useNavigate } from "react-router";
import { Card, Choice } from "../ui/bits";
import { Page } from "../ui/Page";
import { useToast } from "../ui/toast";
import { useT } from "../words";

type Way = "current" | "code";
const SHORTEST = 8;

/** With the one from before, or for a first one with a code to the phone of the account. */
export default function Password(): ReactNode {
  const t = useT();
  const api = useApi();
  const { session } = useRuntime();
  const explain = useExplain();
  const tell = useToast();
  const navigate = useNavigate();
  const [way, setWay] = useState<Way>("code");
  const [phone, setPhone] = useState("");
  const [proof, setProof] = useState("");
  const [password, setPassword] = useState("");
  const [failure, setFailure] = useState<string | null>(null);
  const [sent, setSent] = useState(false);
  const [tried, setTried] = useState(false);
  const [busy, setBusy] = useState(false);
  const short = password.length < SHORTEST;
  const save = async (): Promise<void> => {
    setTried(true);
    setFailure(null);
    if (short || proof === "") return;
    setBusy(true);
    try {
      await api.call("change_password", { body: { current_password: way === "current" ? proof : null, code: way === "code" ? proof : null, password } });
      tell(t("password.done"));
      await navigate("/me", { replace: true });
    } catch (error) {
      setFailure(error instanceof ApiError && error.code === "auth.code_required" ? t("password.codeNeeded") : explain(error));
      setBusy(false);
    }
  };
  const failed = (error: unknown): void => setFailure(error === "phone" ? t("login.phone.invalid") : explain(error));
  return (
    <Page title={t("password.title")} up="/me">
      <p className="p-lead">{t("password.lead")}</p>
      <form noValidate onSubmit={(event) => { event.preventDefault(); void save(); }}>
        <Card className="p-form">
          <Choice label={t("password.way")} value={way} options={[["code", t("password.way.code")], ["current", t("password.way.current")]]} onChange={(next) => { setWay(next); setProof(""); setFailure(null); }} />
          {way === "current" && <Field label={t("password.current")} type="password" autoComplete="current-password" value={proof} error={tried && proof === "" ? t("login.required") : undefined} onChange={(event) => setProof(event.target.value)} />}
          {way === "code" && (
            <>
              <Field label={t("login.phone")} hint={t("password.phone.hint")} type="tel" inputMode="numeric" autoComplete="tel-national" maxLength={11} value={phone} onChange={(event) => setPhone(event.target.value.trim())} />
              <Field
                label={t("login.code")} inputMode="numeric" autoComplete="one-time-code" maxLength={8} value={proof} error={tried && proof === "" ? t("login.required") : undefined}
                onChange={(event) => setProof(event.target.value.trim())}
                beside={<CodeButton phone={phone} purpose="reset_password" onFailure={failed} onSent={() => setSent(true)} />}
              />
            </>
          )}
          <Field label={t("login.password.new")} hint={t("login.password.hint")} type="password" autoComplete="new-password" maxLength={128} value={password} error={tried && short ? t("login.password.short") : undefined} onChange={(event) => setPassword(event.target.value)} />
          <div aria-live="polite">
            {failure !== null && <p className="yz-notice yz-notice--bad">{failure}</p>}
            {failure === null && sent && <p className="yz-notice">{t("login.code.sent")}</p>}
          </div>
        </Card>
        <footer className="p-footer">
          <button type="submit" className="yz-button yz-button--block" disabled={busy || session.getState().status !== "in"}>{t("common.save")}</button>
        </footer>
      </form>
    </Page>
  );
}
