import { type Models, useRemaining, useRuntime } from "@yunzhen/shared";
import { useMutation, useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { useNavigate } from "react-router";
import { useEvent } from "../data/events";
import { Sign } from "../ui/Sign";
import { useToasts } from "../ui/Toast";
import { useT } from "../words";

type Critical = Models["CriticalOut"];
const WAITS: readonly Critical["status"][] = ["raised", "told", "texted", "tasked"];

/** Results that cannot wait, over everything until somebody has them. */
export function CriticalBar(): ReactNode {
  const { api, queries } = useRuntime();
  const t = useT();
  const navigate = useNavigate();
  const { say, sorry } = useToasts();
  const key = ["critical"];
  const values = useQuery({ queryKey: key, queryFn: ({ signal }) => api.call("list_critical_values", { query: { limit: 50 }, signal }), refetchInterval: 60_000 });
  useEvent("critical.changed", () => void queries.invalidateQueries({ queryKey: key }));
  const take = useMutation({
    mutationFn: (id: string) => api.call("acknowledge_critical_value", { path: { critical_id: id }, body: {} }),
    onSuccess: () => say(t("critical.done")),
    onError: sorry,
    onSettled: () => queries.invalidateQueries({ queryKey: key }),
  });
  const waiting = (values.data?.items ?? []).filter((value) => WAITS.includes(value.status) && value.order_ids.length > 0);
  const first = waiting[0];
  if (first === undefined) return null;
  return (
    <section className="dr-critical" role="alert" aria-label={t("critical.title")}>
      <Sign name="alert" />
      <div className="dr-critical__words">
        <strong>{t("critical.title")}</strong> <span>{t("critical.text", { count: waiting.length })}</span>
        <Deadline at={first.acknowledge_by} />
      </div>
      <div className="dr-critical__actions">
        <button type="button" className="yz-button yz-button--quiet" onClick={() => void navigate(`/orders/${first.order_ids[0] ?? ""}`, { state: { record: first.record_id } })}>{t("critical.look")}</button>
        <button type="button" className="yz-button" disabled={take.isPending} onClick={() => take.mutate(first.critical_id)}>{t("critical.take")}</button>
      </div>
    </section>
  );
}

function Deadline({ at }: { at: string | null }): ReactNode {
  const t = useT();
  const left = useRemaining(at);
  if (left === null || left <= 0) return null;
  const seconds = Math.ceil(left / 1000);
  return <span className="dr-critical__time" aria-live="off">{t("critical.within")} {Math.floor(seconds / 60)}:{String(seconds % 60).padStart(2, "0")}</span>;
}
