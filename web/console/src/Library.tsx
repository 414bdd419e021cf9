import { DARK, LIGHT, usePreferences } from "@yunzhen/shared";
import { ConfigProvider, theme } from "antd";
import en from "antd/locale/en_US";
import zh from "antd/locale/zh_CN";
import type { ReactNode } from "react";

const nonce = document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? "";

/** antd in the chosen language and look. Its style elements carry the page's nonce. */
export function Library({ children }: { children: ReactNode }): ReactNode {
  const { language, dark, large } = usePreferences();
  const look = dark ? DARK : LIGHT;
  return (
    <ConfigProvider
      locale={language === "en" ? en : zh}
      csp={{ nonce }}
      button={{ autoInsertSpace: false }}
      theme={{
        algorithm: dark ? theme.darkAlgorithm : theme.defaultAlgorithm,
        token: {
          colorPrimary: look.primary, colorText: look.text, colorTextSecondary: look.muted, colorBgBase: look.surface,
          colorBgLayout: look.ground, colorBgElevated: look.raised, colorWarningBg: dark ? "#2b2415" : "#fdf3e2", colorError: look.danger, colorWarning: look.warning, colorSuccess: look.success,
          colorTextLightSolid: look.onPrimary, colorTextPlaceholder: look.muted, colorTextDescription: look.muted, colorTextTertiary: look.muted,
          colorLink: look.primary, colorLinkHover: look.primary, colorInfo: look.primary, colorBorder: look.muted, colorBorderSecondary: look.line, fontSize: large ? 18 : 14, borderRadius: 8, fontFamily: "var(--yz-font)", wireframe: false,
        },
        components: { Table: { headerBg: look.ground } },
      }}
    >
      {children}
    </ConfigProvider>
  );
}
