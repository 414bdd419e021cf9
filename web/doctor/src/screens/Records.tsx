import { ApiError, Loading, Failure, type Models, format, useApi, useConnected, useOnline, usePreferences, useRuntime } from "@yunzhen/shared";
import { Icon } from "@yunzhen/shared/chat";
import { type KeyboardEvent, type ReactNode, useCallback, useEffect, useRef, useState } from "react";
import { useEvent } from "../data/events";
import type { Order } from "../rules/orders";
import { Blank } from "../ui/Blank";
import { Sign } from "../ui/Sign";
import { useToasts } from "../ui/Toast";
import { useT } from "../words";

type Listing = Models["RecordListOut"];
type Item = Models["RecordOut"];
const KINDS = ["note", "lab", "exam", "imaging"] as const;
const PARTS = ["note", "lab", "exam", "imaging", "prescription"] as const;
const NARROW = 1080;
const WIDE = 1600;

interface Props {
  order: Order;
  open: boolean;
  /** A record to show first. */
  wanted: string | null;
  onClose: () => void;
  /** Put a record into the reply that is being written, for the patient to look at; null where none can be sent. */
  onShare: ((record: Item) => void) | null;
}

/**
 * The patient's records beside the chat. They are in the page only while access lasts and the connection that would tell of its end
 * stands; then they leave the page and the memory. They are held in this component alone: no cache, no storage, no history.
 */
export function Records({ order, open, wanted, onClose, onShare }: Props): ReactNode {
  const t = useT();
  const { queries } = useRuntime();
  const online = useOnline();
  const connected = useConnected();
  const [wide, setWide] = useState(false);
  const [ended, setEnded] = useState<"withdrawn" | null>(null);
  const [grant, setGrant] = useState(0); // another grant begins anew
  useEvent("notice", (notice) => {
    if (notice.kind !== "record_access_changed" || notice.order_id !== order.id) return;
    setEnded(notice.data["granted"] === true ? null : "withdrawn");
    setGrant((count) => count + 1);
    void queries.invalidateQueries({ queryKey: ["order", order.id] });
  });
  return (
    <aside className="dr-records" data-wide={wide} aria-label={t("records.title")}>
      <header className="dr-records__head">
        <h2>{t("records.title")}</h2>
        <button type="button" className="yz-tool dr-records__wide" aria-pressed={wide} onClick={() => setWide(!wide)} aria-label={t(wide ? "records.narrow" : "records.wide")} title={t(wide ? "records.narrow" : "records.wide")}><Sign name="wide" /></button>
        <button type="button" className="yz-tool" onClick={onClose} aria-label={t("records.close")} title={`${t("records.close")} (Alt+B)`}><Icon name="close" /></button>
      </header>
      {!open ? <Blank sign="lock" title={t("records.over")} />
        : ended !== null || !order.record_access ? <Blank sign="lock" title={t(ended === null ? "records.denied" : "records.withdrawn")} hint={t("records.denied.hint")} />
        : !online || !connected ? <Blank sign="lock" title={t("records.cut")} hint={t("records.cut.hint")} />
        : <OpenRecords key={grant} orderId={order.id} wanted={wanted} wide={wide} onShare={onShare} />}
    </aside>
  );
}

type Asked<T> = { state: "loading" } | { state: "here"; data: T } | { state: "denied" } | { state: "failed"; error: unknown };

function settle<T>(error: unknown): Asked<T> {
  const denied = error instanceof ApiError && (error.kind === "forbidden" || error.kind === "unauthenticated" || error.code === "order.not_found");
  return denied ? { state: "denied" } : { state: "failed", error };
}

function OpenRecords({ orderId, wanted, wide, onShare }: { orderId: string; wanted: string | null; wide: boolean; onShare: Props["onShare"] }): ReactNode {
  const t = useT();
  const api = useApi();
  const [asked, setAsked] = useState<Asked<Listing>>({ state: "loading" });
  const [attempt, setAttempt] = useState(0);
  const [chosen, setChosen] = useState<string | null>(wanted);
  const deny = useCallback(() => setAsked({ state: "denied" }), []);
  useEffect(() => {
    const gone = new AbortController();
    api.call("list_records", { path: { order_id: orderId }, signal: gone.signal }).then(
      (data) => setAsked({ state: "here", data }),
      (error: unknown) => {
        if (!gone.signal.aborted) setAsked(settle(error));
      },
    );
    return () => gone.abort();
  }, [api, orderId, attempt]);
  if (asked.state === "loading") return <Loading />;
  if (asked.state === "denied") return <Blank sign="lock" title={t("records.denied")} hint={t("records.denied.hint")} />;
  if (asked.state === "failed") return <Failure error={asked.error} onRetry={() => { setAsked({ state: "loading" }); setAttempt(attempt + 1); }} />;
  const record = asked.data.items.find((item) => item.record_id === chosen);
  if (record !== undefined) return <RecordPages key={record.record_id} orderId={orderId} record={record} wide={wide} onBack={() => setChosen(null)} onDenied={deny} onShare={onShare} />;
  return <RecordList listing={asked.data} onChoose={setChosen} />;
}

function RecordList({ listing, onChoose }: { listing: Listing; onChoose: (id: string) => void }): ReactNode {
  const t = useT();
  const { language } = usePreferences();
  const [kind, setKind] = useState<Item["kind"] | null>(null);
  const shown = listing.items.filter((item) => kind === null || item.kind === kind);
  const part = (name: string): string => {
    const known = PARTS.find((each) => each === name);
    return t(known === undefined ? "records.part.other" : `records.part.${known}`);
  };
  return (
    <div className="dr-records__list">
      {listing.missing.length > 0 && <p className="dr-warning" role="status"><Sign name="alert" />{t("records.partial", { parts: listing.missing.map((each) => part(each.part)).join("、") })}</p>}
      <div className="dr-filter" role="group" aria-label={t("records.kinds")}>
        {[null, ...KINDS].map((each) => {
          const count = listing.items.filter((item) => each === null || item.kind === each).length;
          return <button key={each ?? "all"} type="button" aria-pressed={kind === each} onClick={() => setKind(each)}>{t(each === null ? "records.all" : `records.${each}`)} {count}</button>;
        })}
      </div>
      {listing.items.length === 0 && <Blank sign="record" title={t(listing.known ? "records.empty" : "records.unknown")} />}
      {listing.items.length > 0 && shown.length === 0 && <p className="dr-quiet">{t("records.none")}</p>}
      <ul className="dr-files">
        {shown.map((item, index) => (
          <li key={item.record_id}>
            {monthOf(item) !== monthOf(shown[index - 1]) && <p className="dr-files__month">{monthOf(item, language)}</p>}
            <button type="button" onClick={() => onChoose(item.record_id)}>
              <span className="dr-files__kind" data-kind={item.kind}>{item.form === "prescription" ? t("records.form.prescription") : t(`records.${item.kind}`)}</span>
              <span className="dr-files__body">
                <strong>{item.title}</strong>
                <span>{[format.when(item.occurred_at, language), item.department, item.source, item.pages > 1 ? t("records.pages", { count: item.pages }) : ""].filter((each) => each !== "").join(" · ")}</span>
              </span>
              {item.critical ? <span className="dr-flag" data-critical>{t("records.critical")}</span> : item.abnormal && <span className="dr-flag">{t("records.abnormal")}</span>}
              <Icon name="right" />
            </button>
          </li>
        ))}
      </ul>
      <p className="dr-private"><Sign name="lock" />{language === "en" ? listing.reminder.en : listing.reminder.zh}</p>
    </div>
  );
}

function monthOf(item: Item | undefined, language = "en"): string {
  return item === undefined ? "" : new Date(item.occurred_at).toLocaleDateString(language, { year: "numeric", month: "long" });
}

interface PagesProps {
  orderId: string;
  record: Item;
  wide: boolean;
  onBack: () => void;
  onDenied: () => void;
  onShare: Props["onShare"];
}

const ZOOMS = [1, 1.25, 1.5, 2, 3] as const;

/** One record, page by page. Every page is a look that is recorded, so none is fetched before it is asked for. */
function RecordPages({ orderId, record, wide, onBack, onDenied, onShare }: PagesProps): ReactNode {
  const t = useT();
  const { say } = useToasts();
  const [page, setPage] = useState(1);
  const [zoom, setZoom] = useState(0);
  const { asked, retry } = usePage(orderId, record.record_id, page, wide, onDenied);
  const turn = (to: number): void => {
    if (to >= 1 && to <= record.pages) setPage(to);
  };
  const larger = (by: number): void => setZoom((now) => Math.min(ZOOMS.length - 1, Math.max(0, now + by)));
  const keys = (event: KeyboardEvent): void => {
    const does: Record<string, () => void> = {
      ArrowLeft: () => turn(page - 1), PageUp: () => turn(page - 1), ArrowRight: () => turn(page + 1), PageDown: () => turn(page + 1),
      "+": () => larger(1), "=": () => larger(1), "-": () => larger(-1), Escape: onBack,
    };
    const act = does[event.key];
    if (act === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    act();
  };
  return (
    // eslint-disable-next-line jsx-a11y/no-static-element-interactions -- its keys are those of the buttons in it
    <div className="dr-pages" onKeyDown={keys}>
      <div className="dr-pages__bar">
        <button type="button" className="yz-tool" onClick={onBack} aria-label={t("records.back")}><Sign name="back" /></button>
        <h3 title={record.title}>{record.title}{record.source !== "" && <small>{t("records.source", { source: record.source })}</small>}</h3>
        {onShare !== null && <button type="button" className="yz-tool" onClick={() => { onShare(record); say(t("cards.record.added")); }} aria-label={t("cards.record")} title={t("cards.record")}><Sign name="share" /></button>}
        <button type="button" className="yz-tool" disabled={zoom === 0} onClick={() => larger(-1)} aria-label={t("records.zoomOut")}><Icon name="minus" /></button>
        <button type="button" className="yz-tool" disabled={zoom === ZOOMS.length - 1} onClick={() => larger(1)} aria-label={t("records.zoomIn")}><Icon name="plus" /></button>
      </div>
      {/* eslint-disable jsx-a11y/no-noninteractive-tabindex, jsx-a11y/no-noninteractive-element-interactions -- what scrolls must be
          reachable by keyboard; a page is not to be saved from a menu */}
      <div className="dr-pages__stage" tabIndex={0} role="region" aria-label={record.title} onContextMenu={(event) => event.preventDefault()}>
        {/* eslint-enable */}
        {asked.state === "loading" && <Loading />}
        {asked.state === "failed" && <Failure error={asked.error} onRetry={retry} />}
        {asked.state === "here" && (
          <img className="dr-pages__page" src={asked.data} alt={t("records.image", { title: record.title, page })} draggable={false} style={{ width: `${String((ZOOMS[zoom] ?? 1) * 100)}%` }} />
        )}
      </div>
      <div className="dr-pages__turn">
        {record.pages > 1 && <button type="button" className="yz-button yz-button--quiet" disabled={page === 1} onClick={() => turn(page - 1)}>{t("records.previous")}</button>}
        <span aria-live="polite">{t("records.page", { page, count: record.pages })}</span>
        {record.pages > 1 && <button type="button" className="yz-button yz-button--quiet" disabled={page === record.pages} onClick={() => turn(page + 1)}>{t("records.next")}</button>}
      </div>
    </div>
  );
}

function usePage(orderId: string, recordId: string, page: number, wide: boolean, onDenied: () => void): { asked: Asked<string>; retry: () => void } {
  const api = useApi();
  const { dark } = usePreferences();
  const [asked, setAsked] = useState<Asked<string>>({ state: "loading" });
  const [attempt, setAttempt] = useState(0);
  const denied = useRef(onDenied);
  useEffect(() => {
    denied.current = onDenied;
  }, [onDenied]);
  useEffect(() => {
    const gone = new AbortController();
    let made: string | null = null;
    const query = `width=${String(wide ? WIDE : NARROW)}&theme=${dark ? "dark" : "light"}&format=webp`;
    const url = `/api/v1/orders/${encodeURIComponent(orderId)}/records/${encodeURIComponent(recordId)}/pages/${String(page)}?${query}`;
    api.bytes(url, { signal: gone.signal }).then(
      (bytes) => {
        if (gone.signal.aborted) return;
        made = URL.createObjectURL(bytes);
        setAsked({ state: "here", data: made });
      },
      (error: unknown) => {
        if (gone.signal.aborted) return;
        const settled = settle<string>(error);
        if (settled.state === "denied") denied.current();
        else setAsked(settled);
      },
    );
    return () => {
      gone.abort();
      if (made !== null) URL.revokeObjectURL(made);
      setAsked({ state: "loading" });
    };
  }, [api, orderId, recordId, page, wide, dark, attempt]);
  return { asked, retry: () => setAttempt(attempt + 1) };
}
