import { Component, type ReactNode } from "react";
import { useConnected, useExplain, useOnline, useTranslate } from "../react/context";

export function Loading(): ReactNode {
  const t = useTranslate();
  return <div className="yz-state" role="status">{t("common.loading")}…</div>;
}

export function Empty({ children }: { children?: ReactNode }): ReactNode {
  const t = useTranslate();
  return <div className="yz-state">{children ?? t("common.empty")}</div>;
}

/** Says what to do about it, with a button that tries again. */
export function Failure({ error, onRetry }: { error: unknown; onRetry?: () => void }): ReactNode {
  const t = useTranslate();
  const explain = useExplain();
  return (
    <div className="yz-state" role="alert">
      <p>{explain(error)}</p>
      {onRetry && <button type="button" className="yz-button" onClick={onRetry}>{t("common.retry")}</button>}
    </div>
  );
}

interface Asked<T> {
  data: T | undefined;
  error: unknown;
  refetch: () => unknown;
}

/** A query's three faces: `<Loaded query={useQuery(…)}>{(order) => …}</Loaded>`. What was loaded stays shown when a later try fails. */
export function Loaded<T>({ query, children }: { query: Asked<T>; children: (data: T) => ReactNode }): ReactNode {
  if (query.data !== undefined) return children(query.data);
  return query.error ? <Failure error={query.error} onRetry={() => void query.refetch()} /> : <Loading />;
}

export function OfflineBanner(): ReactNode {
  const t = useTranslate();
  const online = useOnline();
  const connected = useConnected();
  if (online && connected) return null;
  return <div className="yz-banner" role="status">{t(online ? "connection.lost" : "offline.banner")}</div>;
}

function Broken(): ReactNode {
  const t = useTranslate();
  return (
    <main className="yz-state" role="alert">
      <h1>{t("boundary.title")}</h1>
      <p>{t("boundary.text")}</p>
      <button type="button" className="yz-button" onClick={() => location.reload()}>{t("boundary.reload")}</button>
    </main>
  );
}

export class ErrorBoundary extends Component<{ children: ReactNode }, { broken: boolean }> {
  override state = { broken: false };

  static getDerivedStateFromError(): { broken: boolean } {
    return { broken: true };
  }

  override render(): ReactNode {
    return this.state.broken ? <Broken /> : this.props.children;
  }
}
