import { useRuntime } from "@yunzhen/shared";
import { useMutation, useQuery } from "@tanstack/react-query";
import { type ReactNode, useId, useState } from "react";
import type { Order } from "../rules/orders";
import { Modal } from "../ui/Modal";
import { useToasts } from "../ui/Toast";
import { useT } from "../words";

const MOST_REASON = 500;

/** Offer the order to a colleague, while no reply counts; the colleague accepts, then the patient agrees. */
export function ReferDialog({ order, onClose }: { order: Order; onClose: () => void }): ReactNode {
  const t = useT();
  const id = useId();
  const { api } = useRuntime();
  const { say, sorry } = useToasts();
  const [doctor, setDoctor] = useState("");
  const [reason, setReason] = useState("");
  const doctors = useQuery({ queryKey: ["colleagues"], queryFn: ({ signal }) => api.call("list_doctors", { query: { accepting: true, limit: 100 }, signal }) });
  const propose = useMutation({
    mutationFn: () => api.call("propose_referral", { path: { order_id: order.id }, body: { doctor_id: doctor, reason: reason.trim() } }),
    onSuccess: () => {
      say(t("referral.proposed"));
      onClose();
    },
    onError: sorry,
  });
  const colleagues = (doctors.data?.items ?? []).filter((each) => each.id !== order.doctor.id);
  return (
    <Modal
      title={t("referral.title")} onClose={onClose}
      actions={(
        <>
          <button type="button" className="yz-button yz-button--quiet" onClick={onClose}>{t("common.cancel")}</button>
          <button type="button" className="yz-button" disabled={propose.isPending || doctor === "" || reason.trim() === ""} onClick={() => propose.mutate()}>{t("referral.propose")}</button>
        </>
      )}
    >
      <p>{t("referral.text")}</p>
      <label className="yz-field__label" htmlFor={`${id}-doctor`}>{t("referral.doctor")}</label>
      <select id={`${id}-doctor`} className="dr-area" value={doctor} onChange={(event) => setDoctor(event.target.value)}>
        <option value="">{t("referral.choose")}</option>
        {colleagues.map((each) => <option key={each.id} value={each.id}>{each.name} · {each.title} · {each.department}</option>)}
      </select>
      <label className="yz-field__label" htmlFor={`${id}-reason`}>{t("referral.reason")}</label>
      <textarea id={`${id}-reason`} className="dr-area" rows={3} maxLength={MOST_REASON} value={reason} onChange={(event) => setReason(event.target.value)} />
    </Modal>
  );
}
