import { Failure, Loading, useRealtime, useTranslate } from "@yunzhen/shared";
import { Countdown } from "@yunzhen/shared/chat";
import { type KeyboardEvent, type ReactNode, useRef, useState, useSyncExternalStore } from "react";
import { Link, useLocation, useParams } from "react-router";
import { useChangeSettings, useDesk, useFinished, useOrder, useSettings } from "../data/desk";
import { type Order, type Tab, tabOf } from "../rules/orders";
import { Blank } from "../ui/Blank";
import { useShortcut } from "../ui/shortcuts";
import { useToasts } from "../ui/Toast";
import { useT } from "../words";
import { OrderView } from "./OrderView";
import { Pool } from "./Pool";
import { Offers, useOffers } from "./Referral";
import { SearchMessages, SearchSwitch } from "./Search";

type List = Tab | "offers";
const TABS: readonly Tab[] = ["waiting", "open", "finished"];

/** Who waits, who is in session, who was; beside it the one that is looked at. On a phone one at a time. */
export default function Desk(): ReactNode {
  const { orderId } = useParams();
  const { key } = useLocation(); // asked for again (by a notice, with a record to show): begun again
  return (
    <div className="dr-desk" data-order={orderId !== undefined}>
      <OrderLists current={orderId ?? null} />
      {orderId === undefined ? <Nobody /> : <OneOrder key={`${orderId} ${key}`} id={orderId} />}
    </div>
  );
}

function Nobody(): ReactNode {
  const t = useT();
  return <div className="dr-desk__main dr-desk__nobody"><Blank sign="desk" title={t("desk.choose")} hint={t("desk.choose.hint")} /></div>;
}

function OneOrder({ id }: { id: string }): ReactNode {
  const order = useOrder(id);
  if (order.data === undefined) {
    return <div className="dr-desk__main">{order.error ? <Failure error={order.error} onRetry={() => void order.refetch()} /> : <Loading />}</div>;
  }
  return <OrderView order={order.data} />;
}

function OrderLists({ current }: { current: string | null }): ReactNode {
  const t = useT();
  const desk = useDesk();
  const here = useOrderTab(current, desk.waiting, desk.open);
  const [chosen, setChosen] = useState<List | null>(null);
  const [searching, setSearching] = useState(false);
  useShortcut("f", () => setSearching((on) => !on));
  const offered = useOffers().data?.items.length ?? 0;
  const lists: readonly List[] = offered > 0 || chosen === "offers" ? [...TABS, "offers"] : TABS; // seldom: shown while there are some
  const tab = chosen ?? here ?? "waiting";
  const counts: Record<List, number | null> = { waiting: desk.isLoading ? null : desk.waiting.length, open: desk.isLoading ? null : desk.open.length, finished: null, offers: offered };
  const tabs = useRef<HTMLDivElement>(null);
  const keys = (event: KeyboardEvent): void => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    const next = lists[lists.indexOf(tab) + step];
    if (step === 0 || next === undefined) return;
    setChosen(next);
    tabs.current?.querySelector<HTMLElement>(`#tab-${next}`)?.focus();
  };
  return (
    <section className="dr-lists" aria-label={t("desk.lists")}>
      <header className="dr-lists__head">
        <h1>{t("nav.desk")}</h1>
        <Accepting />
        <SearchSwitch on={searching} onChange={setSearching} />
      </header>
      {searching ? <SearchMessages /> : <>
      {/* eslint-disable-next-line jsx-a11y/interactive-supports-focus -- the tabs in it take the focus */}
      <div ref={tabs} className="dr-tabs" role="tablist" aria-label={t("desk.lists")} onKeyDown={keys}>
        {lists.map((each) => (
          <button
            key={each} type="button" role="tab" id={`tab-${each}`} aria-selected={tab === each} aria-controls="orders" tabIndex={tab === each ? 0 : -1}
            className="dr-tabs__tab" onClick={() => setChosen(each)}
          >
            {t(`desk.${each}`)}
            {counts[each] !== null && <span className="dr-tabs__count" data-some={counts[each] > 0}>{counts[each]}</span>}
          </button>
        ))}
      </div>
      <div id="orders" role="tabpanel" aria-labelledby={`tab-${tab}`} className="dr-lists__body">
        {tab === "waiting" && <Pool />}
        {tab === "offers" ? <Offers /> : tab === "finished" ? <Finished current={current} /> : desk.isLoading ? (desk.error ? <Failure error={desk.error} onRetry={desk.refetch} /> : <Skeleton />) : <Rows orders={desk[tab]} tab={tab} current={current} />}
      </div>
      </>}
    </section>
  );
}

/** The list that holds the order that is looked at. */
function useOrderTab(current: string | null, waiting: readonly Order[], open: readonly Order[]): Tab | null {
  const inThem = [...waiting, ...open].find((order) => order.id === current);
  return inThem === undefined ? null : tabOf(inThem);
}

function Skeleton(): ReactNode {
  const t = useTranslate();
  return (
    <div role="status" aria-label={t("common.loading")}>
      {[0, 1, 2].map((each) => <div key={each} className="dr-skeleton" aria-hidden="true"><i /><i /><i /></div>)}
    </div>
  );
}

function Finished({ current }: { current: string | null }): ReactNode {
  const t = useT();
  const { orders, query } = useFinished();
  if (query.data === undefined) return query.error ? <Failure error={query.error} onRetry={() => void query.refetch()} /> : <Skeleton />;
  return (
    <>
      <Rows orders={orders} tab="finished" current={current} />
      {query.hasNextPage && <button type="button" className="yz-button yz-button--quiet dr-more" disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>{t("desk.more")}</button>}
    </>
  );
}

function Rows({ orders, tab, current }: { orders: readonly Order[]; tab: Tab; current: string | null }): ReactNode {
  const t = useT();
  if (orders.length === 0) return <Blank sign={tab === "waiting" ? "check" : "note"} title={t(`desk.empty.${tab}`)} hint={t(`desk.empty.${tab}.hint`)} />;
  return <ul className="dr-orders">{orders.map((order) => <li key={order.id}><OrderRow order={order} current={order.id === current} /></li>)}</ul>;
}

const useUnread = (order: Order): number => {
  const live = useRealtime();
  return useSyncExternalStore(live.subscribe, () => live.conversation(order.conversation_id).log.unread);
};

function OrderRow({ order, current }: { order: Order; current: boolean }): ReactNode {
  const t = useT();
  const unread = useUnread(order);
  const live = tabOf(order) !== "finished";
  return (
    <Link to={`/orders/${order.id}`} className="dr-order" aria-current={current ? "true" : undefined}>
      <span className="dr-order__face" data-sex={order.patient.sex} aria-hidden="true">{order.patient.name.slice(0, 1)}</span>
      <span className="dr-order__body">
        <span className="dr-order__top">
          <strong>{order.patient.name}</strong>
          <span className="dr-order__person"><Person order={order} /></span>
          {live ? <Countdown until={order.deadline_at} /> : <span className="dr-order__status" data-status={order.status}>{t(`status.${order.status}`)}</span>}
        </span>
        <span className="dr-order__text">{order.complaint}</span>
        <span className="dr-order__bottom">
          <span>{t(`kind.${order.kind}`)}</span>
          {live && <span>{t("order.replies", { left: order.replies.limit - order.replies.used, limit: order.replies.limit })}</span>}
          {order.rating !== null && <span>★ {order.rating.stars}</span>}
          {unread > 0 && <span className="dr-badge dr-badge--inline"><span aria-hidden="true">{unread}</span><span className="yz-hidden">{t("desk.unread", { count: unread })}</span></span>}
        </span>
      </span>
    </Link>
  );
}

export function Person({ order }: { order: Order }): ReactNode {
  const t = useT();
  const { sex, age } = order.patient;
  const words = [sex === "male" ? t("sex.male") : sex === "female" ? t("sex.female") : null, age === null ? null : t("patient.age", { age })];
  return words.filter((word) => word !== null).join(" · ");
}

/** The switch that patients see at once. */
function Accepting(): ReactNode {
  const t = useT();
  const settings = useSettings();
  const change = useChangeSettings();
  const { sorry } = useToasts();
  if (settings.data === undefined) return null;
  const { accepting } = settings.data;
  return (
    <label className="dr-switch">
      <span>{t(accepting ? "desk.accepting" : "desk.resting")}</span>
      <input
        type="checkbox" role="switch" checked={accepting} aria-label={t("desk.accepting.switch")}
        onChange={(event) => change.mutate({ ...settings.data, accepting: event.target.checked }, { onError: sorry })}
      />
    </label>
  );
}

