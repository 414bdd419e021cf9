import { Failure, Loaded, Loading, type Models, newKey, useApi, useRuntime } from "@yunzhen/shared";
import { Countdown } from "@yunzhen/shared/chat";
import { useMutation, useQuery } from "@tanstack/react-query";
import { type ReactNode, useId, useState } from "react";
import { useEvent } from "../data/events";
import type { Order } from "../rules/orders";
import { Blank } from "../ui/Blank";
import { Modal } from "../ui/Modal";
import { Sign } from "../ui/Sign";
import { useToasts } from "../ui/Toast";
import { useT } from "../words";

const MOST_REASON = 500;
const OFFERS = ["desk", "offers"] as const;
const AGAIN_MS = 30_000;

/** Offer the order to a colleague who suits it better. Nothing moves before both the colleague and the patient agree. */
export function ReferDialog({ order, onClose }: { order: Order; onClose: () => void }): ReactNode {
  const t = useT();
  const id = useId();
  const { api, queries } = useRuntime();
  const { say, sorry } = useToasts();
  const [q, setQ] = useState("");
  const [doctor, setDoctor] = useState<Models["DoctorOut"] | null>(null);
  const [reason, setReason] = useState("");
  const [key] = useState(newKey);
  const found = useQuery({
    queryKey: ["doctors", q.trim()],
    queryFn: ({ signal }) => api.call("list_doctors", { query: { q: q.trim() || null, limit: 20 }, signal }),
    placeholderData: (before) => before,
  });
  const propose = useMutation({
    mutationFn: (doctorId: string) => api.call("propose_referral", { path: { order_id: order.id }, body: { doctor_id: doctorId, reason: reason.trim() }, idempotencyKey: key }),
    onSuccess: ({ doctor: to }) => {
      say(t("refer.proposed", { doctor: to.name }));
      void queries.invalidateQueries({ queryKey: ["referral", order.id] });
      onClose();
    },
    onError: sorry,
  });
  return (
    <Modal
      title={t("refer.title")} onClose={onClose}
      actions={(
        <>
          <button type="button" className="yz-button yz-button--quiet" onClick={onClose}>{t("common.cancel")}</button>
          <button type="button" className="yz-button" disabled={doctor === null || reason.trim() === "" || propose.isPending} onClick={() => doctor !== null && propose.mutate(doctor.id)}>{t("refer.propose")}</button>
        </>
      )}
    >
      <p>{t("refer.text")}</p>
      <label className="yz-field__label" htmlFor={`${id}-q`}>{t("refer.doctor")}</label>
      <input id={`${id}-q`} className="yz-field__input dr-search" type="search" value={q} maxLength={60} placeholder={t("refer.search")} onChange={(event) => setQ(event.target.value)} />
      <Loaded query={found}>
        {({ items }) => {
          const others = items.filter((each) => each.id !== order.doctor.id);
          return others.length === 0 ? <p className="dr-quiet">{t("refer.none")}</p> : (
            <div className="dr-colleagues" role="radiogroup" aria-label={t("refer.doctor")}>
              {others.map((each) => (
                <label key={each.id}>
                  <input type="radio" name={`${id}-to`} value={each.id} checked={doctor?.id === each.id} onChange={() => setDoctor(each)} />
                  <span><strong>{each.name}</strong> {each.title} · {each.department}<small>{each.good_at}</small></span>
                  {!each.accepting && <span className="dr-chip">{t("desk.resting")}</span>}
                </label>
              ))}
            </div>
          );
        }}
      </Loaded>
      <label className="yz-field__label" htmlFor={`${id}-why`}>{t("refer.reason")}</label>
      <textarea id={`${id}-why`} className="dr-area" rows={3} maxLength={MOST_REASON} value={reason} placeholder={t("refer.reason.placeholder")} onChange={(event) => setReason(event.target.value)} />
    </Modal>
  );
}

/** The referral under way, over the field that is written in. `seq`: of the conversation, whose entries it is made of. */
export function ReferralBar({ order, seq }: { order: Order; seq: number }): ReactNode {
  const t = useT();
  const { api, queries } = useRuntime();
  const { sorry } = useToasts();
  const query = useQuery({
    queryKey: ["referral", order.id, seq], enabled: order.status === "awaiting_doctor",
    queryFn: ({ signal }) => api.call("list_referrals", { path: { order_id: order.id }, signal }),
    placeholderData: (before) => before,
  });
  const withdraw = useMutation({
    mutationFn: (id: string) => api.call("withdraw_referral", { path: { order_id: order.id, referral_id: id }, body: {} }),
    onError: sorry,
    onSettled: () => queries.invalidateQueries({ queryKey: ["referral", order.id] }),
  });
  const referral = order.status === "awaiting_doctor" ? query.data?.items[0] : undefined;
  if (referral === undefined) return null;
  return (
    <p className="dr-correcting dr-correcting--referral" role="status">
      <Sign name="refer" />
      <span>{t(referral.state === "accepted" ? "refer.bar.accepted" : "refer.bar.proposed", { doctor: referral.doctor.name, department: referral.doctor.department })}</span>
      <button type="button" className="yz-link" disabled={withdraw.isPending} onClick={() => withdraw.mutate(referral.id)}>{t("refer.withdraw")}</button>
    </p>
  );
}

/** How many orders colleagues would hand over to this doctor. */
export function useOffers() {
  const api = useApi();
  const { queries } = useRuntime();
  useEvent("notice", (notice) => {
    if (notice.kind === "referral_offered" || notice.kind === "order_referred") void queries.invalidateQueries({ queryKey: OFFERS });
  });
  return useQuery({ queryKey: OFFERS, queryFn: ({ signal }) => api.call("list_offers", { signal }), refetchInterval: AGAIN_MS });
}

/** Orders that colleagues would hand over: who asks, why, how long is left. No name and no complaint before the patient agrees. */
export function Offers(): ReactNode {
  const t = useT();
  const offers = useOffers();
  if (offers.data === undefined) return offers.error ? <Failure error={offers.error} onRetry={() => void offers.refetch()} /> : <Loading />;
  if (offers.data.items.length === 0) return <Blank sign="refer" title={t("refer.offers.none")} hint={t("refer.offers.none.hint")} />;
  return <ul className="dr-orders">{offers.data.items.map((offer) => <li key={offer.referral.id}><OfferRow offer={offer} /></li>)}</ul>;
}

function OfferRow({ offer }: { offer: Models["OfferOut"] }): ReactNode {
  const t = useT();
  const { api, queries } = useRuntime();
  const { say, sorry } = useToasts();
  const { referral, by } = offer;
  const path = { order_id: referral.order_id, referral_id: referral.id };
  const answer = useMutation({
    mutationFn: (take: boolean) => api.call(take ? "accept_referral" : "refuse_referral", { path, body: {} }),
    onSuccess: (_shown, take) => say(t(take ? "refer.accepted" : "refer.refused")),
    onError: sorry,
    onSettled: () => queries.invalidateQueries({ queryKey: OFFERS }),
  });
  const person = [offer.sex === "male" ? t("sex.male") : offer.sex === "female" ? t("sex.female") : null, offer.age === null ? null : t("patient.age", { age: offer.age })].filter((word) => word !== null).join(" · ");
  return (
    <article className="dr-offer" aria-label={t("refer.offer.by", { doctor: by.name, department: by.department })}>
      <p className="dr-order__top">
        <strong>{t("refer.offer.by", { doctor: by.name, department: by.department })}</strong>
        <Countdown until={offer.deadline_at} />
      </p>
      <p className="dr-order__person">{person}</p>
      <p className="dr-offer__why">{referral.reason}</p>
      {referral.state === "accepted" ? <p className="dr-chip">{t("refer.offer.waits")}</p> : (
        <p className="dr-row">
          <button type="button" className="yz-button yz-button--quiet" disabled={answer.isPending} onClick={() => answer.mutate(false)}>{t("refer.refuse")}</button>
          <button type="button" className="yz-button" disabled={answer.isPending} onClick={() => answer.mutate(true)}>{t("refer.accept")}</button>
        </p>
      )}
    </article>
  );
}
