/** What screens are made of. */
import { CopyOutlined } from "@ant-design/icons";
import { type Language, type Models, format, useExplain, usePreferences, useRemaining } from "@yunzhen/shared";
import { Alert, App, Button, Tag, Tooltip } from "antd";
import { type ReactNode, useEffect } from "react";
import { type Key, useT } from "../words";

/** A screen: its name as the heading and in the tab, what can be done on it, then what is on it. */
export function Screen({ title, lead, actions, children }: { title: string; lead?: ReactNode; actions?: ReactNode; children: ReactNode }): ReactNode {
  const t = useT();
  useEffect(() => {
    document.title = `${title} · ${t("app.console")}`;
  }, [title, t]);
  return (
    <div className="c-screen">
      <header className="c-screen__head">
        <div>
          <h1 className="c-screen__title">{title}</h1>
          {lead !== undefined && <p className="c-screen__lead">{lead}</p>}
        </div>
        {actions !== undefined && <div className="c-screen__actions">{actions}</div>}
      </header>
      {children}
    </div>
  );
}

export function Panel({ title, extra, children, flush = false }: { title?: ReactNode; extra?: ReactNode; children: ReactNode; flush?: boolean }): ReactNode {
  return (
    <section className={flush ? "c-panel c-panel--flush" : "c-panel"}>
      {title !== undefined && (
        <header className="c-panel__head">
          <h2 className="c-panel__title">{title}</h2>
          {extra}
        </header>
      )}
      {children}
    </section>
  );
}

export function Nothing({ title, hint, icon }: { title: string; hint?: string; icon?: ReactNode }): ReactNode {
  return (
    <div className="c-nothing">
      {icon !== undefined && <span className="c-nothing__icon" aria-hidden="true">{icon}</span>}
      <p className="c-nothing__title">{title}</p>
      {hint !== undefined && <p>{hint}</p>}
    </div>
  );
}

/** A failure in its place, with a way to try again. */
export function Problem({ error, onRetry }: { error: unknown; onRetry?: () => void }): ReactNode {
  const t = useT();
  const explain = useExplain();
  return (
    <Alert
      type="error"
      showIcon
      title={explain(error)}
      action={onRetry && <Button size="small" onClick={onRetry}>{t("common.retry")}</Button>}
    />
  );
}

/** Says what became of a command, at the top of the page, and to screen readers. */
export function useTell(): { done: (key: Key) => void; failed: (error: unknown) => void } {
  const { message } = App.useApp();
  const t = useT();
  const explain = useExplain();
  return { done: (key) => void message.success(t(key)), failed: (error) => void message.error(explain(error), 6) };
}

type Status = Models["OrderOut"]["status"];
const TONES: Record<Status, string> = {
  pending_payment: "quiet", awaiting_doctor: "warning", in_session: "primary", completed: "success", cancelled: "quiet", refunding: "warning", refunded: "quiet",
};

export function Badge({ tone, children }: { tone: string; children: ReactNode }): ReactNode {
  return <span className={`c-badge c-badge--${tone}`}>{children}</span>;
}

export function StatusBadge({ status }: { status: Status }): ReactNode {
  const t = useT();
  return <Badge tone={TONES[status]}>{t(`status.${status}`)}</Badge>;
}

/** Today's too with its day: an administrator copies them into letters. */
function dayAndTime(at: string, language: Language): string {
  const instant = new Date(at);
  const year: Intl.DateTimeFormatOptions = instant.getFullYear() === new Date().getFullYear() ? {} : { year: "numeric" };
  return instant.toLocaleString(language, { ...year, month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false });
}

/** Day and time; the exact instant on hover and focus. */
export function When({ at }: { at: string | null | undefined }): ReactNode {
  const { language } = usePreferences();
  if (at === null || at === undefined) return <span className="c-muted">—</span>;
  return <time dateTime={at} title={format.exactly(at, language)}>{dayAndTime(at, language)}</time>;
}

/** An id cut short, whole in the clipboard. */
export function ShortId({ id }: { id: string }): ReactNode {
  const t = useT();
  const { message } = App.useApp();
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(id);
    void message.success(t("list.copied"));
  };
  return (
    <span className="c-id">
      <Tooltip title={id}><code>{id.length > 12 ? `${id.slice(0, 4)}…${id.slice(-4)}` : id}</code></Tooltip>
      <Button type="text" size="small" icon={<CopyOutlined />} aria-label={`${t("list.copy")} ${id.slice(-4)}`} onClick={copy} />
    </span>
  );
}

export function Roles({ roles }: { roles: Models["StaffAnswer"]["roles"] }): ReactNode {
  const t = useT();
  return <span className="c-tags">{roles.map((role) => <Tag key={role}>{t(`role.${role}`)}</Tag>)}</span>;
}

/** How long an order has left; red in the last hour. */
export function Left({ until }: { until: string }): ReactNode {
  const left = useRemaining(until);
  return <span className={left !== null && left < 3_600_000 ? "c-left c-left--short" : "c-left"}>{left === null ? "" : format.countdown(left)}</span>;
}

/** Under a list: how many are shown, and more on demand. */
export function ListFoot({ count, query }: { count: number; query: { hasNextPage: boolean; isFetchingNextPage: boolean; fetchNextPage: () => unknown } }): ReactNode {
  const t = useT();
  if (count === 0) return null;
  return (
    <footer className="c-foot">
      <span role="status">{t(query.hasNextPage ? "list.shown" : "list.end", { count })}</span>
      {query.hasNextPage && <Button loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>{t("list.more")}</Button>}
    </footer>
  );
}

/** A labelled field of a filter. */
export function Field({ label, children }: { label: string; children: ReactNode }): ReactNode {
  return (
    <div className="c-field">
      <span className="c-field__label" aria-hidden="true">{label}</span>
      {children}
    </div>
  );
}
