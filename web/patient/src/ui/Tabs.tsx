import { type ReactNode, Suspense } from "react";
import { NavLink, Outlet } from "react-router";
import { useBadge } from "../queries";
import { type Key, useT } from "../words";
import { Icon, type IconName } from "./Icon";
import { Skeleton } from "./bits";

const TABS: readonly (readonly [string, IconName, Key])[] = [
  ["/", "home", "tab.home"], ["/orders", "chat", "tab.orders"], ["/notices", "bell", "tab.notices"], ["/me", "person", "tab.me"],
];

/** The four places, always at the thumb. */
export function Tabs(): ReactNode {
  const t = useT();
  const unread = useBadge();
  return (
    <div className="p-tabbed">
      <Suspense fallback={<Skeleton label={t("common.loading")} />}><Outlet /></Suspense>
      <nav className="p-tabs" aria-label={t("tab.all")}>
        {TABS.map(([to, icon, key]) => (
          <NavLink key={to} to={to} end={to === "/"} className="p-tab">
            <span className="p-tab__icon">
              <Icon name={icon} />
              {to === "/notices" && unread > 0 && (
                <span className="p-badge">{unread > 99 ? "99+" : unread}<span className="yz-hidden">{t("notices.unread")}</span></span>
              )}
            </span>
            {t(key)}
          </NavLink>
        ))}
      </nav>
    </div>
  );
}
