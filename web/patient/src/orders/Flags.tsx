import { type Models, useApi } from "@yunzhen/shared";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { Link } from "react-router";
import type { Order } from "../queries";
import { Card } from "../ui/bits";
import { ReasonSheet } from "../ui/ReasonSheet";
import { useT } from "../words";

type Flag = Models["ReplyFlagOut"];

/** Replies that the server found too short or not meant for this patient alone; each may be objected to, once. */
export function Flags({ order }: { order: Order }): ReactNode {
  const t = useT();
  const api = useApi();
  const [asking, setAsking] = useState<Flag | null>(null);
  const { data } = useQuery({
    queryKey: ["reply-flags", order.id], queryFn: () => api.call("list_reply_flags", { path: { order_id: order.id } }), enabled: order.replies.used > 0,
  });
  const flags = data?.items ?? [];
  if (flags.length === 0) return null;
  return (
    <Card>
      <h2 className="p-h3">{t("flag.title")}</h2>
      {flags.map((flag) => (
        <div key={flag.flag_id} className="p-flag">
          <p>{t(`flag.${flag.flaw}`)} <Link to={`/orders/${order.id}/chat?seq=${flag.seq}`}>{t("flag.see")}</Link></p>
          {flag.contested_at === null
            ? <button type="button" className="yz-button yz-button--quiet" onClick={() => setAsking(flag)}>{t("flag.contest")}</button>
            : <p className="p-lead">{t("flag.contested")}</p>}
        </div>
      ))}
      {asking !== null && <Contest flag={asking} onClose={() => setAsking(null)} />}
    </Card>
  );
}

function Contest({ flag, onClose }: { flag: Flag; onClose: () => void }): ReactNode {
  const t = useT();
  const api = useApi();
  const queries = useQueryClient();
  const send = async (reason: string, idempotencyKey: string): Promise<void> => {
    try {
      await api.call("contest_reply", { path: { order_id: flag.order_id, seq: String(flag.seq) }, body: { reason }, idempotencyKey });
    } finally {
      void queries.invalidateQueries({ queryKey: ["reply-flags", flag.order_id] });
    }
  };
  return (
    <ReasonSheet
      title={t("flag.contest")} text={t("flag.text")} label={t("flag.why")} button={t("flag.submit")} done={t("flag.contested")}
      send={send} onClose={onClose}
    />
  );
}
