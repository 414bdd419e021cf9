/** Lists and orders of one's own as they were last seen, for reading offline: kept by account in IndexedDB, gone on signing out. */
import { useRuntime, useSession } from "@yunzhen/shared";
import { Coalesced, onLeaving } from "@yunzhen/shared/coalesced";
import { type DehydratedState, type Query, dehydrate, hydrate, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";

/** Never what was seen of records, and nothing that lives shorter than a page. */
const KEPT: ReadonlySet<unknown> = new Set(["orders", "order", "doctors", "doctor", "departments", "patients", "notices"]);
const PAUSE_MS = 1_500;
const DAY_MS = 86_400_000;

export const isKept = (query: Pick<Query, "queryKey" | "state">): boolean => query.state.status === "success" && KEPT.has(query.queryKey[0]);

/** False until what is kept was put back. */
export function useOfflineCopies(): boolean {
  const { store } = useRuntime();
  const state = useSession();
  const queries = useQueryClient();
  const [restored, setRestored] = useState(false);
  const account = state.status === "in" ? state.account.account_id : null;
  useEffect(() => {
    if (account === null) return undefined;
    queries.setDefaultOptions({ ...queries.getDefaultOptions(), queries: { ...queries.getDefaultOptions().queries, gcTime: DAY_MS } });
    const restore = async (): Promise<void> => {
      const kept = (await store.noted(account, "queries")) as DehydratedState | undefined;
      if (kept === undefined) return;
      hydrate(queries, kept);
      await queries.invalidateQueries({ refetchType: "none" }); // however young: what changed while the app was closed was told to nobody
    };
    void restore().catch(() => undefined).finally(() => setRestored(true));
    const copies = new Coalesced((name) => void store.note(account, name, dehydrate(queries, { shouldDehydrateQuery: isKept })).catch(() => undefined), PAUSE_MS);
    const stay = onLeaving(() => copies.flush());
    const stop = queries.getQueryCache().subscribe(({ type }) => {
      if (type === "updated") copies.ask("queries");
    });
    return () => {
      copies.drop();
      stay();
      stop();
    };
  }, [account, queries, store]);
  return restored;
}
