import { usePreferences, useRuntime } from "@yunzhen/shared";
import type { ReactNode } from "react";
import { type PushState, usePush } from "../push";
import { Card, Choice, Switch } from "../ui/bits";
import { useTellFailure } from "../ui/toast";
import { Page } from "../ui/Page";
import { type Key, useT } from "../words";

export default function Settings(): ReactNode {
  const t = useT();
  const { preferences } = useRuntime();
  const { language, theme, large } = usePreferences();
  return (
    <Page title={t("common.settings")} up="/me">
      <Card className="p-rows">
        <Switch label={t("common.large")} note={t("settings.large.note")} checked={large} onChange={(on) => preferences.set({ large: on })} />
      </Card>
      <PushCard />
      <Card>
        <Choice label={t("common.language")} value={language} options={[["zh-CN", "中文"], ["en", "English"]]} onChange={(next) => preferences.set({ language: next })} />
      </Card>
      <Card>
        <Choice
          label={t("common.theme")} value={theme} onChange={(next) => preferences.set({ theme: next })}
          options={[["auto", t("common.theme.auto")], ["light", t("common.theme.light")], ["dark", t("common.theme.dark")]]}
        />
      </Card>
      <Card><h2 className="p-h3">{t("settings.privacy")}</h2><p className="p-prose">{t("settings.privacy.text")}</p></Card>
    </Page>
  );
}

const WORDS: Readonly<Record<PushState, Key>> = {
  unknown: "push.note", missing: "push.missing", blocked: "push.blocked", off: "push.note", on: "push.on",
};

/** Being told while the app is closed. */
function PushCard(): ReactNode {
  const t = useT();
  const fail = useTellFailure();
  const { state, busy, put } = usePush();
  const can = state === "on" || state === "off";
  return (
    <Card className="p-rows">
      <Switch label={t("push.title")} note={t(WORDS[state])} checked={state === "on"} disabled={!can || busy} onChange={(on) => void put(on).catch(fail)} />
    </Card>
  );
}
