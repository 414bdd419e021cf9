import { format, newKey, useApi, useExplain } from "@yunzhen/shared";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useRef, useState } from "react";
import type { Order } from "../queries";
import { Avatar, Card } from "../ui/bits";
import { Icon } from "../ui/Icon";
import { useToast } from "../ui/toast";
import { useT } from "../words";
import { isOpen } from "./state";

/** Another doctor is to take over: who, why, and that it is the patient's to say. Nothing where none is under way. */
export function ReferralCard({ order }: { order: Order }): ReactNode {
  const t = useT();
  const api = useApi();
  const queries = useQueryClient();
  const tell = useToast();
  const explain = useExplain();
  const key = useRef({ agree: newKey(), refuse: newKey() });
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<string | null>(null);
  const may = isOpen(order) && order.replies.used === 0;
  const { data } = useQuery({ queryKey: ["referrals", order.id], queryFn: () => api.call("list_referrals", { path: { order_id: order.id } }), enabled: may });
  const referral = may ? data?.items[0] : undefined;
  if (referral === undefined || (referral.state !== "proposed" && referral.state !== "accepted")) return null;
  const answer = async (way: "agree" | "refuse"): Promise<void> => {
    setBusy(true);
    setFailure(null);
    try {
      const path = { order_id: order.id, referral_id: referral.id };
      await (way === "agree" ? api.call("agree_referral", { path, body: {}, idempotencyKey: key.current.agree }) : api.call("refuse_referral", { path, body: {}, idempotencyKey: key.current.refuse }));
      tell(t(way === "agree" ? "referral.agreed" : "referral.refused", { doctor: referral.doctor.name }));
    } catch (error) {
      setFailure(explain(error));
    } finally {
      setBusy(false);
      void queries.invalidateQueries({ queryKey: ["referrals", order.id] });
      void queries.invalidateQueries({ queryKey: ["order", order.id] });
    }
  };
  const { doctor } = referral;
  return (
    <Card className="p-referral">
      <h2 className="p-h3"><Icon name="doctor" />{t(referral.state === "accepted" ? "referral.title" : "referral.asked")}</h2>
      <div className="p-strip p-strip--bare">
        <Avatar name={doctor.name} />
        <p><strong>{doctor.name}</strong><small>{doctor.title} · {doctor.department}</small></p>
      </div>
      <p className="p-referral__reason">{t("referral.reason", { doctor: order.doctor.name, reason: referral.reason })}</p>
      {referral.state === "proposed" ? <p className="p-lead">{t("referral.waits", { doctor: doctor.name })}</p> : (
        <>
          <ul className="p-referral__facts">
            <li>{t("referral.fact.fee", { amount: format.yuan(order.fee_fen) })}</li>
            <li>{t("referral.fact.sees", { doctor: doctor.name })}</li>
            <li>{t("referral.fact.stay", { doctor: order.doctor.name })}</li>
          </ul>
          {failure !== null && <p className="yz-notice yz-notice--bad" role="alert">{failure}</p>}
          <div className="p-buttons">
            <button type="button" className="yz-button yz-button--quiet" disabled={busy} onClick={() => void answer("refuse")}>{t("referral.refuse")}</button>
            <button type="button" className="yz-button" disabled={busy} onClick={() => void answer("agree")}>{t("referral.agree")}</button>
          </div>
        </>
      )}
    </Card>
  );
}
