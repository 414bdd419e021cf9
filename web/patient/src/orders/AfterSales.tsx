import { format, newKey, useApi, usePreferences } from "@yunzhen/shared";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useId, useRef, useState } from "react";
import type { Order } from "../queries";
import { Card } from "../ui/bits";
import { Sheet } from "../ui/Sheet";
import { useTellFailure, useToast } from "../ui/toast";
import { useT } from "../words";
import { mayAskForTheFee } from "./state";

const MOST_LETTERS = 500;

/** A patient who was answered and is not content asks for the fee, once; below it stands what the hospital said. */
export function AfterSales({ order }: { order: Order }): ReactNode {
  const t = useT();
  const [asking, setAsking] = useState(false);
  if (order.after_sales !== null) return <Case order={order} />;
  if (!mayAskForTheFee(order)) return null;
  return (
    <>
      <button type="button" className="yz-link p-quiet" onClick={() => setAsking(true)}>{t("aftersales.ask")}</button>
      {asking && <Ask order={order} onClose={() => setAsking(false)} />}
    </>
  );
}

function Case({ order }: { order: Order }): ReactNode {
  const t = useT();
  const api = useApi();
  const { language } = usePreferences();
  const { data } = useQuery({
    queryKey: ["after-sales", order.id, order.after_sales?.state], queryFn: () => api.call("get_after_sales", { path: { order_id: order.id } }),
  });
  if (order.after_sales === null) return null;
  const { state, amount_fen, asked_at, decided_at } = order.after_sales;
  return (
    <Card>
      <h2 className="p-h3">{t("aftersales.title")}</h2>
      <p>{t(`aftersales.${state}`, { amount: format.yuan(amount_fen ?? 0) })}</p>
      {data !== undefined && data.answer !== "" && <p className="p-prose">{data.answer}</p>}
      <p className="p-lead"><time dateTime={decided_at ?? asked_at}>{format.when(decided_at ?? asked_at, language)}</time></p>
    </Card>
  );
}

function Ask({ order, onClose }: { order: Order; onClose: () => void }): ReactNode {
  const t = useT();
  const id = useId();
  const api = useApi();
  const tell = useToast();
  const fail = useTellFailure();
  const queries = useQueryClient();
  const key = useRef(newKey());
  const [reason, setReason] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (): Promise<void> => {
    setBusy(true);
    try {
      const body = { reason: reason.trim(), text: "", image_ids: [] };
      queries.setQueryData(["order", order.id], await api.call("ask_after_sales", { path: { order_id: order.id }, body, idempotencyKey: key.current }));
      tell(t("aftersales.asked"));
      onClose();
    } catch (error) {
      key.current = newKey(); // what is mended is another request
      fail(error);
      setBusy(false);
    }
  };
  return (
    <Sheet title={t("aftersales.ask")} onClose={onClose}>
      <p className="p-sheet__text">{t("aftersales.text")}</p>
      <label className="yz-field__label" htmlFor={id}>{t("aftersales.why")}</label>
      <textarea id={id} className="p-textarea" rows={4} maxLength={MOST_LETTERS} value={reason} onChange={(event) => setReason(event.target.value)} />
      <button type="button" className="yz-button yz-button--block" disabled={busy || reason.trim() === ""} onClick={() => void submit()}>{t("aftersales.submit")}</button>
    </Sheet>
  );
}
