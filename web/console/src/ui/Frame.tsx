import {
  AuditOutlined, BarChartOutlined, BellOutlined, DashboardOutlined, DownOutlined, EyeInvisibleOutlined, FileSearchOutlined, InteractionOutlined, MedicineBoxOutlined, MessageOutlined,
  MoneyCollectOutlined, ProfileOutlined, TeamOutlined, ToolOutlined,
} from "@ant-design/icons";
import { Loaded, Mark, usePreferences, useRuntime } from "@yunzhen/shared";
import { Alert, Button, Dropdown, type MenuProps } from "antd";
import { type ReactNode, useEffect, useRef } from "react";
import { NavLink, useLocation, useNavigate } from "react-router";
import { type Area, maySee } from "../rules/areas";
import { type Key, useT } from "../words";
import { Keys } from "./Keys";
import { useMe } from "./me";

export interface Door {
  to: string;
  /** After G, by the keyboard. */
  key: string;
  area: Area;
  title: Key;
  icon: ReactNode;
}

const DOORS: { title: Key; doors: Door[] }[] = [
  {
    title: "nav.group.now",
    doors: [
      { to: "/", key: "b", area: "board", title: "board.title", icon: <DashboardOutlined /> },
      { to: "/orders", key: "o", area: "orders", title: "orders.title", icon: <ProfileOutlined /> },
      { to: "/tasks", key: "t", area: "tasks", title: "tasks.title", icon: <BellOutlined /> },
      { to: "/refunds", key: "r", area: "refunds", title: "refunds.title", icon: <MoneyCollectOutlined /> },
    ],
  },
  {
    title: "nav.group.proof",
    doors: [
      { to: "/audit", key: "a", area: "audit", title: "audit.title", icon: <AuditOutlined /> },
      { to: "/trace", key: "l", area: "trace", title: "trace.title", icon: <FileSearchOutlined /> },
      { to: "/reveals", key: "c", area: "reveals", title: "reveal.title", icon: <EyeInvisibleOutlined /> },
      { to: "/figures", key: "f", area: "figures", title: "figures.title", icon: <BarChartOutlined /> },
    ],
  },
  {
    title: "nav.group.setup",
    doors: [
      { to: "/doctors", key: "d", area: "doctors", title: "nav.doctors", icon: <MedicineBoxOutlined /> },
      { to: "/sentences", key: "q", area: "sentences", title: "sentence.title", icon: <MessageOutlined /> },
      { to: "/policy", key: "p", area: "policy", title: "policy.title", icon: <InteractionOutlined /> },
      { to: "/staff", key: "s", area: "staff", title: "staff.title", icon: <TeamOutlined /> },
      { to: "/hl7", key: "h", area: "hl7", title: "hl7.title", icon: <ToolOutlined /> },
    ],
  },
];

/** Navigation at the side, the account at the top, the screen between. A new screen is begun at its top, by the keyboard too. */
export function Frame({ children }: { children: ReactNode }): ReactNode {
  const me = useMe();
  const t = useT();
  const main = useRef<HTMLElement>(null);
  const { pathname } = useLocation();
  const first = useRef(true);
  useEffect(() => {
    if (first.current) first.current = false;
    else main.current?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }, [pathname]);
  return (
    <Loaded query={me}>
      {({ roles, name, renewal }) => (
        <div className="c-frame">
          <a className="c-skip" href="#content">{t("nav.skip")}</a>
          <nav className="c-nav" aria-label={t("nav.label")}>
            <div className="c-nav__brand"><Mark className="c-nav__mark" /><span>{t("app.console")}</span></div>
            <div className="c-nav__groups">
              {DOORS.map((group) => {
                const open = group.doors.filter((door) => maySee(roles, door.area));
                return open.length > 0 && (
                  <section key={group.title} className="c-nav__group" aria-label={t(group.title)}>
                    <h2 className="c-nav__title">{t(group.title)}</h2>
                    {open.map((door) => (
                      <NavLink key={door.to} to={door.to} end={door.to === "/"} className="c-nav__link"><span aria-hidden="true">{door.icon}</span><span>{t(door.title)}</span></NavLink>
                    ))}
                  </section>
                );
              })}
            </div>
            <AccountMenu name={name} />
          </nav>
          <Keys doors={DOORS.flatMap((group) => group.doors).filter((door) => maySee(roles, door.area))} />
          <main id="content" ref={main} tabIndex={-1} className="c-main">
            {renewal !== null && <Alert type="error" showIcon title={t("staff.renewal.mine")} description={t("staff.renewal.mine.text")} />}
            {children}
          </main>
        </div>
      )}
    </Loaded>
  );
}

function AccountMenu({ name }: { name: string }): ReactNode {
  const { session, preferences } = useRuntime();
  const { language, theme, large } = usePreferences();
  const navigate = useNavigate();
  const t = useT();
  const items: NonNullable<MenuProps["items"]> = [
    { key: "account", label: t("account.title") },
    { type: "divider" },
    { key: "language", label: <span lang={language === "en" ? "zh-CN" : "en"}>{language === "en" ? "中文" : "English"}</span> },
    { key: "theme", label: `${t("common.theme")} · ${t(`common.theme.${theme}`)}` },
    { key: "large", label: `${t("common.large")}${large ? " ✓" : ""}` },
    { type: "divider" },
    { key: "out", label: t("common.signOut") },
  ];
  const choose = (key: string): void => {
    if (key === "account") void navigate("/account");
    if (key === "language") preferences.set({ language: language === "en" ? "zh-CN" : "en" });
    if (key === "theme") preferences.set({ theme: theme === "auto" ? "light" : theme === "light" ? "dark" : "auto" });
    if (key === "large") preferences.set({ large: !large });
    if (key === "out") void session.signOut();
  };
  return (
    <Dropdown menu={{ items, onClick: ({ key }) => choose(key) }} trigger={["click"]} placement="topLeft">
      <Button type="text" className="c-nav__account">
        <span className="c-nav__face" aria-hidden="true">{name.slice(0, 1)}</span>
        <span className="c-nav__name">{name}</span>
        <span className="yz-hidden">{t("account.menu")}</span>
        <DownOutlined aria-hidden="true" />
      </Button>
    </Dropdown>
  );
}
