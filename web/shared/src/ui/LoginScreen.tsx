import { type ComponentProps, type ReactNode, type SubmitEvent, useEffect, useId, useState } from "react";
import { ApiError } from "../api/errors";
import type { SharedKey } from "../i18n";
import { useExplain, useRuntime, useSession, useTranslate } from "../react/context";
import { Mark } from "./Mark";
import { PreferenceTools } from "./PreferenceTools";

const PHONE = /^1[3-9]\d{9}$/;
const CODE = /^\d{4,8}$/;

interface FieldProps extends ComponentProps<"input"> {
  label: string;
  error?: string | undefined;
  hint?: string;
  beside?: ReactNode;
}

function Field({ label, error, hint, beside, ...input }: FieldProps): ReactNode {
  const id = useId();
  const notes = [error !== undefined && `${id}-error`, hint !== undefined && `${id}-hint`].filter(Boolean).join(" ");
  return (
    <div className="yz-field">
      <label className="yz-field__label" htmlFor={id}>{label}</label>
      <div className="yz-field__row">
        <input {...input} id={id} className="yz-field__input" aria-invalid={error !== undefined} aria-describedby={notes || undefined} />
        {beside}
      </div>
      {hint !== undefined && <span id={`${id}-hint`} className="yz-field__hint">{hint}</span>}
      {error !== undefined && <span id={`${id}-error`} className="yz-field__error">{error}</span>}
    </div>
  );
}

function CodeButton({ phone, onFailure, onSent }: { phone: string; onFailure: (error: unknown) => void; onSent: () => void }): ReactNode {
  const { api } = useRuntime();
  const t = useTranslate();
  const [waits, setWaits] = useState(0);
  useEffect(() => {
    if (waits <= 0) return undefined;
    const timer = setTimeout(() => setWaits(waits - 1), 1_000);
    return () => clearTimeout(timer);
  }, [waits]);
  const send = async (): Promise<void> => {
    if (!PHONE.test(phone)) { onFailure("phone"); return; }
    try {
      const sent = await api.call("request_sms_code", { body: { phone, purpose: "login" } });
      setWaits(sent.retry_after_seconds);
      onSent();
    } catch (error) {
      if (error instanceof ApiError && error.retryAfterSeconds !== null) setWaits(error.retryAfterSeconds);
      onFailure(error);
    }
  };
  return (
    <button type="button" className="yz-button yz-button--quiet" disabled={waits > 0} onClick={send}>
      {waits > 0 ? t("login.code.again", { seconds: waits }) : t("login.code.send")}
    </button>
  );
}

type Errors = Partial<Record<string, SharedKey>>;

function check(values: Record<string, string>): Errors {
  const errors: Errors = {};
  for (const [name, value] of Object.entries(values)) {
    if (name === "phone" && !PHONE.test(value)) errors[name] = "login.phone.invalid";
    else if ((name === "code" || name === "totp") && !CODE.test(value)) errors[name] = "login.code.invalid";
    else if (value === "") errors[name] = "login.required";
  }
  return errors;
}

/** By phone and SMS code, or for staff by user name, password and TOTP. */
export function LoginScreen(): ReactNode {
  const { session, options } = useRuntime();
  const state = useSession();
  const t = useTranslate();
  const explain = useExplain();
  const staff = options.role === "staff";
  const [values, setValues] = useState<Record<string, string>>(
    staff ? { username: "", password: "", totp: "" } : { phone: "", code: "" },
  );
  const [errors, setErrors] = useState<Errors>({});
  const [failure, setFailure] = useState<string | null>(null);
  const [sent, setSent] = useState(false);
  const [busy, setBusy] = useState(false);

  const field = (name: string): { name: string; value: string; error: string | undefined; onChange: ComponentProps<"input">["onChange"] } => {
    const wrong = errors[name];
    return {
      name,
      value: values[name] ?? "",
      error: wrong === undefined ? undefined : t(wrong),
      onChange: (event) => {
        setValues({ ...values, [name]: name === "password" ? event.target.value : event.target.value.trim() });
        setErrors({ ...errors, [name]: undefined });
      },
    };
  };
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const wrong = check(values);
    setErrors(wrong);
    setFailure(null);
    if (Object.keys(wrong).length > 0) return;
    setBusy(true);
    try {
      await session.signIn(values);
    } catch (error) {
      setFailure(explain(error));
      setBusy(false);
    }
  };
  const codeFailed = (error: unknown): void => {
    if (error === "phone") setErrors({ phone: "login.phone.invalid" });
    else setFailure(explain(error));
  };

  return (
    <main className="yz-login">
      <div className="yz-login__card">
        <header className="yz-login__brand">
          <Mark className="yz-login__mark" />
          <div>
            <h1 className="yz-login__title">{t(`login.title.${options.app}`)}</h1>
            <p className="yz-login__hint">{t(`login.hint.${options.app}`)}</p>
          </div>
        </header>
        {state.status === "out" && state.reason !== null && <p className="yz-notice" role="status">{t("login.ended")}</p>}
        <form className="yz-login__form" noValidate onSubmit={submit}>
          {staff ? (
            <>
              <Field label={t("login.username")} autoComplete="username" autoCapitalize="none" {...field("username")} />
              <Field label={t("login.password")} type="password" autoComplete="current-password" {...field("password")} />
              <Field label={t("login.totp")} hint={t("login.totp.hint")} inputMode="numeric" autoComplete="one-time-code" maxLength={8} {...field("totp")} />
            </>
          ) : (
            <>
              <Field label={t("login.phone")} placeholder={t("login.phone.placeholder")} type="tel" inputMode="numeric" autoComplete="tel-national" maxLength={11} {...field("phone")} />
              <Field
                label={t("login.code")}
                placeholder={t("login.code.placeholder")}
                inputMode="numeric"
                autoComplete="one-time-code"
                maxLength={8}
                {...field("code")}
                beside={<CodeButton phone={values["phone"] ?? ""} onFailure={codeFailed} onSent={() => setSent(true)} />}
              />
            </>
          )}
          <div aria-live="polite">
            {failure !== null && <p className="yz-notice yz-notice--bad">{failure}</p>}
            {failure === null && sent && <p className="yz-notice">{t("login.code.sent")}</p>}
          </div>
          <button type="submit" className="yz-button yz-button--block" disabled={busy}>{t("login.submit")}</button>
        </form>
        <PreferenceTools />
      </div>
    </main>
  );
}
