/** Orders that could become the doctor's: those of the department's pool, and those that colleagues would hand over. */
import { type Models, useApi, useRuntime } from "@yunzhen/shared";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate } from "react-router";
import { useToasts } from "../ui/Toast";
import { useT } from "../words";
import { useEvent } from "./events";

const AGAIN_MS = 30_000;

export type Waiting = Models["WaitingOut"];
export type Offer = Models["OfferOut"];

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

export function useOffers(): Offer[] {
  const api = useApi();
  const { queries } = useRuntime();
  useEvent("notice", (notice) => {
    if (notice.kind === "referral_offered") void queries.invalidateQueries({ queryKey: ["referrals"] });
    if (notice.kind !== "order_referred" || notice.order_id === null) return;
    queries.removeQueries({ queryKey: ["order", notice.order_id] }); // it is the other doctor's from now on
    void queries.invalidateQueries({ queryKey: ["orders"] });
    void queries.invalidateQueries({ queryKey: ["referrals"] });
  });
  const { data } = useQuery({ queryKey: ["referrals"], queryFn: ({ signal }) => api.call("list_offers", { signal }), refetchInterval: AGAIN_MS });
  return data?.items ?? [];
}

export function useAnswerOffer() {
  const { api, queries } = useRuntime();
  const t = useT();
  const { say, sorry } = useToasts();
  return useMutation({
    mutationFn: ({ offer, accept }: { offer: Offer; accept: boolean }) => api.call(accept ? "accept_referral" : "refuse_referral", {
      path: { order_id: offer.referral.order_id, referral_id: offer.referral.id }, body: {},
    }),
    onSuccess: (_referral, { accept }) => say(t(accept ? "referral.accepted" : "referral.refused")),
    onError: sorry,
    onSettled: () => queries.invalidateQueries({ queryKey: ["referrals"] }),
  });
}
