import { Loaded, type Models, format, usePreferences, useRuntime, useSession } from "@yunzhen/shared";
import { useMutation, useQuery } from "@tanstack/react-query";
import { type ReactNode, useId, useState } from "react";
import { useChangeSettings, useQuickReplies, useSettings } from "../data/desk";
import { type Hours, WEEKDAYS, isWrong, proposal, sorted } from "../rules/schedule";
import { Icon } from "@yunzhen/shared/chat";
import { Keys } from "../ui/shortcuts";
import { useToasts } from "../ui/Toast";
import { useT } from "../words";
import { ManageQuick } from "./QuickReplies";

type Practice = Models["DeskSettingsModel"];
const THEMES = ["auto", "light", "dark"] as const;

export default function Settings(): ReactNode {
  const t = useT();
  const { session } = useRuntime();
  const state = useSession();
  const settings = useSettings();
  const quick = useQuickReplies();
  return (
    <main className="dr-screen">
      <header className="dr-screen__head">
        <h1>{state.status === "in" ? state.account.name : t("settings.title")}</h1>
        <button type="button" className="yz-button yz-button--quiet" onClick={() => void session.signOut()}>{t("common.signOut")}</button>
      </header>
      <div className="dr-cards">
        <section className="dr-card">
          <h2>{t("settings.practice")}</h2>
          <Loaded query={settings}>{(found) => <PracticeForm key={JSON.stringify(found)} saved={found} />}</Loaded>
        </section>
        <section className="dr-card">
          <h2>{t("settings.look")}</h2>
          <Look />
        </section>
        <section className="dr-card">
          <h2>{t("settings.quick")}</h2>
          <Loaded query={quick}>{({ items }) => <ManageQuick items={items} />}</Loaded>
        </section>
        <section className="dr-card">
          <h2>{t("settings.devices")}</h2>
          <Devices />
        </section>
        <section className="dr-card dr-card--desk">
          <h2>{t("settings.keys")}</h2>
          <Keys />
        </section>
      </div>
    </main>
  );
}

function Switch({ name, hint, checked, onChange }: { name: string; hint?: string; checked: boolean; onChange: (checked: boolean) => void }): ReactNode {
  return (
    <label className="dr-switch dr-switch--row">
      <span>{name}{hint !== undefined && <small>{hint}</small>}</span>
      <input type="checkbox" role="switch" checked={checked} onChange={(event) => onChange(event.target.checked)} />
    </label>
  );
}

function PracticeForm({ saved }: { saved: Practice }): ReactNode {
  const t = useT();
  const id = useId();
  const { say, sorry } = useToasts();
  const change = useChangeSettings();
  const [form, setForm] = useState<Practice>({ ...saved, schedule: sorted(saved.schedule) });
  const wrong = form.schedule.some(isWrong);
  const dirty = JSON.stringify(form) !== JSON.stringify({ ...saved, schedule: sorted(saved.schedule) });
  return (
    <form className="dr-form" onSubmit={(event) => { event.preventDefault(); if (!wrong) change.mutate(form, { onSuccess: () => say(t("settings.saved")), onError: sorry }); }}>
      <Switch name={t("desk.accepting.switch")} checked={form.accepting} onChange={(accepting) => setForm({ ...form, accepting })} />
      <Switch
        name={t("settings.daily.limited")} hint={t("settings.daily.hint")} checked={form.daily_maximum !== null}
        onChange={(limited) => setForm({ ...form, daily_maximum: limited ? 20 : null })}
      />
      {form.daily_maximum !== null && (
        <div className="dr-row dr-row--field">
          <label htmlFor={id}>{t("settings.daily.count")}</label>
          <input
            id={id} className="yz-field__input dr-number" type="number" inputMode="numeric" min={0} max={10_000} value={form.daily_maximum}
            onChange={(event) => setForm({ ...form, daily_maximum: Math.min(10_000, Math.max(0, Math.trunc(event.target.valueAsNumber || 0))) })}
          />
        </div>
      )}
      <h3>{t("settings.schedule")}</h3>
      {form.schedule.length === 0 && <p className="yz-field__hint">{t("settings.schedule.hint")}</p>}
      <Week hours={form.schedule} onChange={(schedule) => setForm({ ...form, schedule })} />
      {wrong && <p className="yz-field__error" role="alert">{t("settings.schedule.wrong")}</p>}
      <button type="submit" className="yz-button" disabled={!dirty || wrong || change.isPending}>{t("settings.save")}</button>
    </form>
  );
}

function Week({ hours, onChange }: { hours: readonly Hours[]; onChange: (hours: Hours[]) => void }): ReactNode {
  const t = useT();
  const replace = (at: Hours, by: Partial<Hours>): void => onChange(hours.map((each) => (each === at ? { ...each, ...by } : each)));
  return (
    <ul className="dr-week">
      {WEEKDAYS.map((weekday) => {
        const day = t(`weekday.${weekday}`);
        return (
          <li key={weekday}>
            <span className="dr-week__day">{day}</span>
            <div className="dr-week__hours">
              {hours.filter((each) => each.weekday === weekday).map((each, index) => (
                <span key={index} className="dr-week__stretch" data-wrong={isWrong(each)}>
                  <input type="time" value={each.from} aria-label={`${day} ${t("settings.schedule.from")}`} onChange={(event) => replace(each, { from: event.target.value })} />
                  –
                  <input type="time" value={each.to === "24:00" ? "23:59" : each.to} aria-label={`${day} ${t("settings.schedule.to")}`} onChange={(event) => replace(each, { to: event.target.value })} />
                  <button type="button" className="yz-tool" aria-label={`${day} ${t("settings.schedule.remove")}`} onClick={() => onChange(hours.filter((other) => other !== each))}><Icon name="close" /></button>
                </span>
              ))}
              <button type="button" className="yz-tool" aria-label={`${day} ${t("settings.schedule.add")}`} title={t("settings.schedule.add")} onClick={() => onChange(sorted([...hours, proposal(hours, weekday)]))}><Icon name="plus" /></button>
            </div>
          </li>
        );
      })}
    </ul>
  );
}

function Look(): ReactNode {
  const t = useT();
  const { preferences } = useRuntime();
  const { language, theme, large } = usePreferences();
  return (
    <div className="dr-form">
      <div className="dr-row dr-row--field">
        <span id="language">{t("common.language")}</span>
        <div className="dr-segments" role="group" aria-labelledby="language">
          {(["zh-CN", "en"] as const).map((each) => <button key={each} type="button" lang={each} aria-pressed={language === each} onClick={() => preferences.set({ language: each })}>{each === "en" ? "English" : "中文"}</button>)}
        </div>
      </div>
      <div className="dr-row dr-row--field">
        <span id="theme">{t("common.theme")}</span>
        <div className="dr-segments" role="group" aria-labelledby="theme">
          {THEMES.map((each) => <button key={each} type="button" aria-pressed={theme === each} onClick={() => preferences.set({ theme: each })}>{t(`common.theme.${each}`)}</button>)}
        </div>
      </div>
      <Switch name={t("common.large")} hint={t("settings.large.hint")} checked={large} onChange={(on) => preferences.set({ large: on })} />
    </div>
  );
}

function Devices(): ReactNode {
  const t = useT();
  const { api, queries } = useRuntime();
  const { language } = usePreferences();
  const { say, sorry } = useToasts();
  const me = useQuery({ queryKey: ["me"], queryFn: ({ signal }) => api.call("get_me", { signal }) });
  const close = useMutation({
    mutationFn: (id: string) => api.call("close_other_session", { path: { session_id: id } }),
    onSuccess: () => say(t("settings.device.closed")),
    onError: sorry,
    onSettled: () => queries.invalidateQueries({ queryKey: ["me"] }),
  });
  return (
    <Loaded query={me}>
      {({ devices }) => (
        <ul className="dr-devices">
          {devices.map((device) => (
            <li key={device.session_id}>
              <span>
                <strong>{device.device_name}</strong> {device.current && <span className="dr-chip">{t("settings.device.this")}</span>}
                <small>{t("settings.device.since", { when: format.when(device.last_used_at, language) })}</small>
              </span>
              {!device.current && <button type="button" className="yz-button yz-button--quiet" disabled={close.isPending} onClick={() => close.mutate(device.session_id)}>{t("settings.device.close")}</button>}
            </li>
          ))}
        </ul>
      )}
    </Loaded>
  );
}
