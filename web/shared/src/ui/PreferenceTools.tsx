import type { ReactNode } from "react";
import { usePreferences, useRuntime, useTranslate } from "../react/context";
import type { Theme } from "../theme";

const NEXT: Record<Theme, Theme> = { auto: "light", light: "dark", dark: "auto" };

/** Language, appearance and text size, where nobody is signed in yet; settings screens have the same, larger. */
export function PreferenceTools(): ReactNode {
  const { preferences } = useRuntime();
  const { language, theme, large } = usePreferences();
  const t = useTranslate();
  const other = language === "en" ? "zh-CN" : "en";
  const className = "yz-button yz-button--quiet";
  return (
    <div className="yz-login__tools">
      <button type="button" className={className} lang={other} onClick={() => preferences.set({ language: other })}>
        {other === "en" ? "English" : "中文"}
      </button>
      <button type="button" className={className} onClick={() => preferences.set({ theme: NEXT[theme] })}>
        {t("common.theme")} · {t(`common.theme.${theme}`)}
      </button>
      <button type="button" className={className} aria-pressed={large} onClick={() => preferences.set({ large: !large })}>
        {t("common.large")}
      </button>
    </div>
  );
}
