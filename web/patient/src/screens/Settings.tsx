import { usePreferences, useRuntime } from "@yunzhen/shared";
import type { ReactNode } from "react";
import { Card, Choice, Switch } from "../ui/bits";
import { Page } from "../ui/Page";
import { useT } from "../words";

export default function Settings(): ReactNode {
  const t = useT();
  const { preferences } = useRuntime();
  const { language, theme, large } = usePreferences();
  return (
    <Page title={t("common.settings")} up="/me">
      <Card className="p-rows">
        <Switch label={t("common.large")} note={t("settings.large.note")} checked={large} onChange={(on) => preferences.set({ large: on })} />
      </Card>
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
