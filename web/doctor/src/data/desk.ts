/** What the desk asks the server for. */
import { type Models, useApi, useRuntime } from "@yunzhen/shared";
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useMemo, useSyncExternalStore } from "react";
import { type Order, listed, newest } from "../rules/orders";

const PAGE = 100;
const AGAIN_MS = 30_000; // lists may lag behind events by a moment; nothing is missed for longer

/** Orders heard of one by one (events, answers), which may be newer than any list. */
function useHeardOrders(): Order[] {
  const client = useQueryClient();
  const cache = client.getQueryCache();
  const subscribe = useCallback((listener: () => void) => cache.subscribe((event) => {
    if ((event.query.queryKey as readonly unknown[])[0] === "order") listener();
  }), [cache]);
  const version = useCallback(
    () => cache.findAll({ queryKey: ["order"] }).map((query) => `${query.queryHash}${String((query.state.data as Order | undefined)?.version ?? "")}`).join(),
    [cache],
  );
  const known = useSyncExternalStore(subscribe, version);
  return useMemo(() => {
    if (known === "") return [];
    return client.getQueriesData<Order>({ queryKey: ["order"] }).flatMap(([, order]) => (order === undefined ? [] : [order]));
  }, [client, known]);
}

export interface Desk {
  waiting: Order[];
  open: Order[];
  isLoading: boolean;
  error: unknown;
  refetch: () => void;
}

/** Who waits and who is in session, as of now. */
export function useDesk(): Desk {
  const api = useApi();
  const heard = useHeardOrders();
  const ask = (status: "awaiting_doctor" | "in_session") => ({
    queryKey: ["orders", status],
    queryFn: ({ signal }: { signal: AbortSignal }) => api.call("list_orders", { query: { status, limit: PAGE }, signal }),
    refetchInterval: AGAIN_MS,
  });
  const waiting = useQuery(ask("awaiting_doctor"));
  const open = useQuery(ask("in_session"));
  const all = useMemo(() => newest(waiting.data?.items ?? [], open.data?.items ?? [], heard), [waiting.data, open.data, heard]);
  return {
    waiting: useMemo(() => listed(all, "waiting"), [all]),
    open: useMemo(() => listed(all, "open"), [all]),
    isLoading: waiting.data === undefined || open.data === undefined,
    error: waiting.error ?? open.error,
    refetch: () => {
      void waiting.refetch();
      void open.refetch();
    },
  };
}

export function useFinished() {
  const api = useApi();
  const heard = useHeardOrders();
  const query = useInfiniteQuery({
    queryKey: ["orders", "all"],
    queryFn: ({ pageParam, signal }) => api.call("list_orders", { query: { limit: 50, cursor: pageParam }, signal }),
    initialPageParam: null as string | null,
    getNextPageParam: (page: Models["OrderPage"]) => page.next_cursor,
  });
  const orders = useMemo(() => listed(newest(query.data?.pages.flatMap((page) => page.items) ?? [], heard), "finished"), [query.data, heard]);
  return { orders, query };
}

export function useOrder(id: string) {
  const api = useApi();
  return useQuery({ queryKey: ["order", id], queryFn: ({ signal }) => api.call("get_order", { path: { order_id: id }, signal }), gcTime: 30 * 60_000 });
}

export function useSettings() {
  const api = useApi();
  return useQuery({ queryKey: ["desk", "settings"], queryFn: ({ signal }) => api.call("get_desk_settings", { signal }) });
}

/** Shown at once; taken back if the server refuses. */
export function useChangeSettings() {
  const { api, queries } = useRuntime();
  return useMutation({
    mutationFn: (settings: Models["DeskSettingsModel"]) => api.call("put_desk_settings", { body: settings }),
    onMutate: async (settings) => {
      await queries.cancelQueries({ queryKey: ["desk", "settings"] });
      const before = queries.getQueryData<Models["DeskSettingsModel"]>(["desk", "settings"]);
      queries.setQueryData(["desk", "settings"], settings);
      return before;
    },
    onError: (_error, _settings, before) => queries.setQueryData(["desk", "settings"], before),
    onSuccess: (saved) => queries.setQueryData(["desk", "settings"], saved),
  });
}

export function useBadge(): number {
  const api = useApi();
  const badge = useQuery({ queryKey: ["notices", "badge"], queryFn: ({ signal }) => api.call("get_notice_badge", { signal }), refetchInterval: 60_000 });
  return badge.data?.unread ?? 0;
}

export function useQuickReplies() {
  const api = useApi();
  return useQuery({ queryKey: ["desk", "quick-replies"], queryFn: ({ signal }) => api.call("list_quick_replies", { signal }), staleTime: 60_000 });
}
