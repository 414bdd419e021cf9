import { ApiError, Mark, type Models, useRealtime, useRuntime } from "@yunzhen/shared";
import { type ReactNode, useEffect, useLayoutEffect, useRef, useState } from "react";
import { NavLink, useLocation, useNavigate } from "react-router";
import { useBadge, useDesk } from "../data/desk";
import { useEvent } from "../data/events";
import { beside, idAt } from "../rules/orders";
import { Sign, type SignName } from "../ui/Sign";
import { KeysDialog, useShortcut } from "../ui/shortcuts";
import { useToasts } from "../ui/Toast";
import { type Key, useT } from "../words";
import { CriticalBar } from "./CriticalBar";

const PLACES: readonly { to: string; sign: SignName; name: Key }[] = [
  { to: "/", sign: "desk", name: "nav.desk" },
  { to: "/notices", sign: "bell", name: "nav.notices" },
  { to: "/figures", sign: "chart", name: "nav.figures" },
  { to: "/settings", sign: "person", name: "nav.settings" },
];

/** What stands round every screen: where one can go, what cannot wait. */
export function Frame({ children }: { children: ReactNode }): ReactNode {
  const t = useT();
  const { queries } = useRuntime();
  const { say } = useToasts();
  const { pathname } = useLocation();
  const badge = useBadge();
  const inOrder = pathname.startsWith("/orders/");
  const [help, setHelp] = useState(false);
  useKeys();
  useShortcut("?", () => setHelp(true));
  const leave = useLeave();
  useEvent("notice", (notice) => {
    if (notice.kind === "order_paid") say(t("desk.newOrder"));
  });
  useEvent("notice", (notice) => {
    if (notice.kind === "order_referred" && notice.order_id !== null) void leave(notice.order_id, notice.data["conversation_id"]);
  });
  useEvent("notices.read", ({ unread }) => queries.setQueryData(["notices", "badge"], { unread }));
  return (
    <div className="dr-frame" data-in-order={inOrder}>
      <a className="dr-skip" href="#content">{t("nav.skip")}</a>
      <nav className="dr-nav" aria-label={t("nav.main")}>
        <Mark className="dr-nav__mark" />
        {PLACES.map(({ to, sign, name }) => {
          const here = to === "/" ? pathname === "/" || inOrder : pathname.startsWith(to);
          const count = to === "/notices" ? badge : 0;
          return (
            <NavLink key={to} to={to} className="dr-nav__item" aria-current={here ? "page" : false} data-here={here}>
              <span className="dr-nav__sign"><Sign name={sign} />{count > 0 && <span className="dr-badge" aria-hidden="true">{count > 99 ? "99+" : count}</span>}</span>
              <span>{t(name)}</span>
              {count > 0 && <span className="yz-hidden">{t("nav.unread", { count })}</span>}
            </NavLink>
          );
        })}
      </nav>
      <div className="dr-content" id="content">
        <CriticalBar />
        {children}
      </div>
      {help && <KeysDialog onClose={() => setHelp(false)} />}
    </div>
  );
}

/** Alt and an arrow: from patient to patient, as the lists have them. */
function useKeys(): void {
  const { waiting, open } = useDesk();
  const navigate = useNavigate();
  const latest = useRef({ waiting, open, navigate });
  useLayoutEffect(() => {
    latest.current = { waiting, open, navigate };
  });
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      const step = !event.altKey ? 0 : event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
      if (step === 0 || document.querySelector("dialog[open]") !== null) return;
      const next = beside(latest.current, idAt(location.pathname), step); // where the page is going counts, be it drawn or not yet
      if (next === null) return;
      event.preventDefault();
      void latest.current.navigate(`/orders/${next}`);
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}

/** An order changed hands: if it is another's now, nothing of it stays in this page. */
function useLeave(): (orderId: string, conversationId: unknown) => Promise<void> {
  const { api, queries } = useRuntime();
  const live = useRealtime();
  const t = useT();
  const { say } = useToasts();
  const navigate = useNavigate();
  const { pathname } = useLocation();
  return async (orderId, conversationId) => {
    const had = queries.getQueryData(["order", orderId]) !== undefined; // whoever is told and had it, hands it over
    if (had) {
      if (pathname === `/orders/${orderId}`) void navigate("/");
      queries.removeQueries({ queryKey: ["order", orderId] });
      for (const status of ["awaiting_doctor", "in_session"]) {
        queries.setQueryData<Models["OrderPage"]>(["orders", status], (page) => page && { ...page, items: page.items.filter((order) => order.id !== orderId) });
      }
      if (typeof conversationId === "string") live.forget(conversationId);
      say(t("refer.gone"));
    }
    await queries.invalidateQueries({ queryKey: ["orders"] });
    try {
      queries.setQueryData(["order", orderId], await api.call("get_order", { path: { order_id: orderId } }));
      say(t("desk.newOrder"));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // another's now, or not to be had just now: the lists will tell
    }
  };
}
