/** Orders that could become the doctor's: those of the department's pool. */
import { type Models, useRuntime } from "@yunzhen/shared";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate } from "react-router";
import { useToasts } from "../ui/Toast";
import { useT } from "../words";
import { useEvent } from "./events";

const AGAIN_MS = 30_000;

export type Waiting = Models["WaitingOut"];

export function usePool(): Waiting[] {
  const { api, queries } = useRuntime();
  useEvent("pool.changed", () => void queries.invalidateQueries({ queryKey: ["pool"] }));
  const { data } = useQuery({ queryKey: ["pool"], queryFn: ({ signal }) => api.call("list_pool", { signal }), refetchInterval: AGAIN_MS });
  return data?.items ?? [];
}

/** The first has it; whoever comes second is told so, and sees it no more. */
export function useTake() {
  const { api, queries } = useRuntime();
  const t = useT();
  const go = useNavigate();
  const { say, sorry } = useToasts();
  return useMutation({
    mutationFn: (orderId: string) => api.call("take_order", { path: { order_id: orderId }, body: {} }),
    onSuccess: (order) => {
      queries.setQueryData(["order", order.id], order);
      void queries.invalidateQueries({ queryKey: ["orders"] });
      say(t("pool.taken"));
      void go(`/orders/${order.id}`);
    },
    onError: sorry,
    onSettled: () => queries.invalidateQueries({ queryKey: ["pool"] }),
  });
}
