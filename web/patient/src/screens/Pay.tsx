import { type AnswerOf, type Models, RequestKey, format, useApi, useExplain } from "@yunzhen/shared";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useEffect, useState } from "react";
import { Link, Navigate, useParams } from "react-router";
import { doctorAbout, doctorName, isWithDoctor } from "../orders/doctor";
import { type Order, useOrder } from "../queries";
import { Avatar, Blank, Card, Choice } from "../ui/bits";
import { Page } from "../ui/Page";
import { Loaded } from "../ui/Trouble";
import { Until } from "../ui/Until";
import { useT } from "../words";

type Channel = Models["PaymentIn"]["channel"];
const LOOK_MS = 2_000;

export default function Pay(): ReactNode {
  const { id = "" } = useParams();
  const t = useT();
  const query = useOrder(id);
  return (
    <Page title={t("pay.title")} up={`/orders/${id}`}>
      <Loaded query={query}>{(order) => <Paying order={order} />}</Loaded>
    </Page>
  );
}

/** Where a payment goes on: the gateway says it in its own way. Only web addresses are followed. */
export function walletAddress(payment: Pick<AnswerOf<"start_payment">, "params">): string | null {
  const params = payment.params as Record<string, unknown>;
  const address = [params["h5_url"], params["url"], params["form_url"]].find((each) => typeof each === "string");
  return typeof address === "string" && /^https?:\/\//.test(address) ? address : null;
}

function Paying({ order }: { order: Order }): ReactNode {
  const t = useT();
  const api = useApi();
  const explain = useExplain();
  const queries = useQueryClient();
  const [channel, setChannel] = useState<Channel>("wechat_h5");
  const [wallet, setWallet] = useState<string | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const [key] = useState(() => new RequestKey());
  const waits = order.status === "pending_payment";

  // The live connection tells of it too; this is for when it does not stand.
  useQuery({
    queryKey: ["order", order.id, "paid"],
    enabled: waits && wallet !== null,
    refetchInterval: LOOK_MS,
    queryFn: async () => {
      const now = await api.call("get_order", { path: { order_id: order.id } });
      queries.setQueryData(["order", order.id], now);
      return now.status;
    },
  });
  useEffect(() => {
    if (!waits) void queries.invalidateQueries({ queryKey: ["orders"] });
  }, [queries, waits]);

  const start = async (): Promise<void> => {
    setBusy(true);
    setFailure(null);
    // Opened at once, by the tap itself, so that it is not taken for a pop-up; filled when the address is known.
    const page = window.open("about:blank", "_blank");
    try {
      const payment = await api.call("start_payment", { path: { order_id: order.id }, body: { channel }, idempotencyKey: key.current });
      key.done();
      const address = walletAddress(payment);
      if (address === null) throw new Error("no address");
      setWallet(address);
      if (page !== null) {
        page.opener = null;
        page.location.href = address;
      }
    } catch (error) {
      page?.close();
      key.failed(error);
      setFailure(explain(error));
    } finally {
      setBusy(false);
    }
  };

  if (order.status === "awaiting_doctor" || order.status === "in_session") return <Paid order={order} />;
  if (!waits) return <Navigate to={`/orders/${order.id}`} replace />;
  return (
    <>
      <Card className="p-strip">
        <Avatar name={doctorName(order, t)} />
        <p><strong>{doctorName(order, t)}</strong><small>{doctorAbout(order)}</small></p>
      </Card>
      <Card className="p-total">
        <small>{t("pay.amount")}</small>
        <strong>{format.yuan(order.fee_fen)}</strong>
        <span className="p-total__until"><Until at={order.unpaid_until} /></span>
      </Card>
      <Card>
        <Choice
          label={t("pay.channel")} value={channel} onChange={(next) => { setChannel(next); setWallet(null); }}
          options={[["wechat_h5", t("pay.wechat")], ["alipay_wap", t("pay.alipay")]]}
        />
        <p className="yz-field__hint">{t("pay.promise")}</p>
      </Card>
      <footer className="p-footer">
        {failure !== null && <p className="yz-notice yz-notice--bad" role="alert">{failure}</p>}
        {wallet !== null && (
          <p className="yz-notice" role="status">{t("pay.waiting")} <a href={wallet} target="_blank" rel="noreferrer">{t("pay.again")}</a></p>
        )}
        <button type="button" className="yz-button yz-button--block" disabled={busy} onClick={() => void start()}>
          {t(busy ? "pay.opening" : "pay.submit", { amount: format.yuan(order.fee_fen) })}
        </button>
      </footer>
    </>
  );
}

function Paid({ order }: { order: Order }): ReactNode {
  const t = useT();
  return (
    <Blank icon="check" title={t("pay.done")} text={t(isWithDoctor(order) ? "pay.done.text" : "quick.done", { doctor: order.doctor.name })}>
      <p><Until at={order.deadline_at} /></p>
      <Link className="yz-button p-button--link" to={`/orders/${order.id}/chat`} replace>{t("pay.toChat")}</Link>
      <Link to="/" replace>{t("pay.toHome")}</Link>
    </Blank>
  );
}
