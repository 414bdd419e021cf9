import { usePreferences } from "@yunzhen/shared";
import { ConfigProvider } from "antd-mobile";
import en from "antd-mobile/es/locales/en-US";
import zh from "antd-mobile/es/locales/zh-CN";
import type { ReactNode } from "react";

/** antd-mobile in the chosen language; its look comes from shared/src/theme/theme.css. */
export function Library({ children }: { children: ReactNode }): ReactNode {
  const { language } = usePreferences();
  return <ConfigProvider locale={language === "en" ? en : zh}>{children}</ConfigProvider>;
}
