import { useExplain, useOnline } from "@yunzhen/shared";
import type { ReactNode } from "react";
import { useT } from "../words";
import { Skeleton } from "./bits";
import { Icon } from "./Icon";

/** What went wrong and what to do; without a network it says that, and that all is well otherwise. */
export function Trouble({ error, onRetry }: { error: unknown; onRetry?: () => void }): ReactNode {
  const t = useT();
  const explain = useExplain();
  const online = useOnline();
  return (
    <div className="p-blank" role="alert">
      <span className="p-blank__icon"><Icon name={online ? "alert" : "cloudOff"} /></span>
      <h2>{t(online ? "trouble.title" : "trouble.offline")}</h2>
      <p>{online ? explain(error) : t("trouble.offline.text")}</p>
      {onRetry !== undefined && <button type="button" className="yz-button" onClick={onRetry}>{t("common.retry")}</button>}
    </div>
  );
}

interface Asked<T> {
  data: T | undefined;
  error: unknown;
  refetch: () => unknown;
}

/** A query's faces: shapes while it loads, what went wrong, what it brought. What was loaded stays when a later try fails. */
export function Loaded<T>({ query, rows, children }: { query: Asked<T>; rows?: number; children: (data: T) => ReactNode }): ReactNode {
  const t = useT();
  if (query.data !== undefined) return children(query.data);
  if (query.error) return <Trouble error={query.error} onRetry={() => void query.refetch()} />;
  return <Skeleton label={t("common.loading")} {...(rows === undefined ? {} : { rows })} />;
}
