import { format, useApi, usePreferences } from "@yunzhen/shared";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import type { Order } from "../queries";
import { Card } from "../ui/bits";
import { ReasonSheet } from "../ui/ReasonSheet";
import { useT } from "../words";
import { mayAskForTheFee } from "./state";

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
  const api = useApi();
  const queries = useQueryClient();
  const send = async (reason: string, idempotencyKey: string): Promise<void> => {
    const body = { reason, text: "", image_ids: [] };
    queries.setQueryData(["order", order.id], await api.call("ask_after_sales", { path: { order_id: order.id }, body, idempotencyKey }));
  };
  return (
    <ReasonSheet
      title={t("aftersales.ask")} text={t("aftersales.text")} label={t("aftersales.why")} button={t("aftersales.submit")} done={t("aftersales.asked")}
      send={send} onClose={onClose}
    />
  );
}
