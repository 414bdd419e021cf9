import { type ComponentProps, type ReactNode, type SubmitEvent, useEffect, useState } from "react";
import { ApiError } from "../api/errors";
import type { SharedKey } from "../i18n";
import { useExplain, useRuntime, useSession, useTranslate } from "../react/context";
import { Field } from "./Field";
import { Mark } from "./Mark";
import { PreferenceTools } from "./PreferenceTools";

const PHONE = /^1[3-9]\d{9}$/;
const CODE = /^\d{4,8}$/;

interface CodeButtonProps {
  phone: string;
  purpose: "login" | "reset_password";
  onFailure: (error: unknown) => void;
  onSent: () => void;
}

export function CodeButton({ phone, purpose, onFailure, onSent }: CodeButtonProps): ReactNode {
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
      const sent = await api.call("request_sms_code", { body: { phone, purpose } });
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

type Mode = "staff" | "code" | "password" | "reset";
const FIELDS: Record<Mode, readonly string[]> = {
  staff: ["username", "password", "totp"], code: ["phone", "code"], password: ["phone", "password"], reset: ["phone", "code", "password"],
};
const SHORTEST_PASSWORD = 8;

function check(values: Record<string, string>, mode: Mode): Errors {
  const errors: Errors = {};
  for (const name of FIELDS[mode]) {
    const value = values[name] ?? "";
    if (name === "phone" && !PHONE.test(value)) errors[name] = "login.phone.invalid";
    else if ((name === "code" || name === "totp") && !CODE.test(value)) errors[name] = "login.code.invalid";
    else if (value === "") errors[name] = "login.required";
    else if (mode === "reset" && name === "password" && value.length < SHORTEST_PASSWORD) errors[name] = "login.password.short";
  }
  return errors;
}

/** By phone and SMS code (patients also by password, which a code sets anew), or for staff by user name, password and TOTP. */
export function LoginScreen(): ReactNode {
  const { api, session, options } = useRuntime();
  const state = useSession();
  const t = useTranslate();
  const explain = useExplain();
  const [mode, setMode] = useState<Mode>(options.role === "staff" ? "staff" : "code");
  const [values, setValues] = useState<Record<string, string>>({});
  const [told, setTold] = useState<SharedKey | null>(null);
  const [errors, setErrors] = useState<Errors>({});
  const [failure, setFailure] = useState<string | null>(null);
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
    const wrong = check(values, mode);
    setErrors(wrong);
    setFailure(null);
    if (Object.keys(wrong).length > 0) return;
    setBusy(true);
    try {
      const given = Object.fromEntries(FIELDS[mode].map((name) => [name, values[name] ?? ""]));
      if (mode === "reset") await reset(given);
      else await session.signIn(given);
    } catch (error) {
      setFailure(explain(error));
      setBusy(false);
    }
  };
  const reset = async (given: Record<string, string>): Promise<void> => {
    const { phone = "", code = "", password = "" } = given;
    await api.call("reset_password", { body: { phone, code, password } });
    go("password");
    setTold("login.reset.done");
    setBusy(false);
  };
  const go = (next: Mode): void => {
    setMode(next);
    setErrors({});
    setFailure(null);
    setTold(null);
    setValues({ phone: values["phone"] ?? "" });
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
          {mode === "staff" && (
            <>
              <Field label={t("login.username")} autoComplete="username" autoCapitalize="none" {...field("username")} />
              <Field label={t("login.password")} type="password" autoComplete="current-password" {...field("password")} />
              <Field label={t("login.totp")} hint={t("login.totp.hint")} inputMode="numeric" autoComplete="one-time-code" maxLength={8} {...field("totp")} />
            </>
          )}
          {mode !== "staff" && (
            <Field label={t("login.phone")} placeholder={t("login.phone.placeholder")} type="tel" inputMode="numeric" autoComplete="tel-national" maxLength={11} {...field("phone")} />
          )}
          {(mode === "code" || mode === "reset") && (
            <Field
              label={t("login.code")}
              placeholder={t("login.code.placeholder")}
              inputMode="numeric"
              autoComplete="one-time-code"
              maxLength={8}
              {...field("code")}
              beside={
                <CodeButton
                  phone={values["phone"] ?? ""}
                  purpose={mode === "reset" ? "reset_password" : "login"}
                  onFailure={codeFailed}
                  onSent={() => setTold("login.code.sent")}
                />
              }
            />
          )}
          {mode === "password" && <Field label={t("login.password")} type="password" autoComplete="current-password" {...field("password")} />}
          {mode === "reset" && (
            <Field label={t("login.password.new")} hint={t("login.password.hint")} type="password" autoComplete="new-password" maxLength={128} {...field("password")} />
          )}
          <div aria-live="polite">
            {failure !== null && <p className="yz-notice yz-notice--bad">{failure}</p>}
            {failure === null && told !== null && <p className="yz-notice">{t(told)}</p>}
          </div>
          <button type="submit" className="yz-button yz-button--block" disabled={busy}>{t(mode === "reset" ? "login.reset.submit" : "login.submit")}</button>
        </form>
        {options.role === "patient" && (
          <div className="yz-login__ways">
            <button type="button" className="yz-link" onClick={() => go(mode === "code" ? "password" : "code")}>
              {t(mode === "code" ? "login.by.password" : "login.by.code")}
            </button>
            {mode === "password" && <button type="button" className="yz-link" onClick={() => go("reset")}>{t("login.forgot")}</button>}
          </div>
        )}
        <PreferenceTools />
      </div>
    </main>
  );
}
