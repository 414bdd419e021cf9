import { type Models, newKey, useApi } from "@yunzhen/shared";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useId, useRef, useState } from "react";
import { Link } from "react-router";
import type { Order } from "../queries";
import { Card } from "../ui/bits";
import { Sheet } from "../ui/Sheet";
import { useTellFailure, useToast } from "../ui/toast";
import { useT } from "../words";

type Flag = Models["ReplyFlagOut"];
const MOST_LETTERS = 500;

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
      await api.call("contest_reply", { path: { order_id: flag.order_id, seq: String(flag.seq) }, body: { reason: reason.trim() }, idempotencyKey: key.current });
      tell(t("flag.contested"));
      onClose();
    } catch (error) {
      key.current = newKey(); // what is mended is another objection
      fail(error);
      setBusy(false);
    }
    void queries.invalidateQueries({ queryKey: ["reply-flags", flag.order_id] });
  };
  return (
    <Sheet title={t("flag.contest")} onClose={onClose}>
      <p className="p-sheet__text">{t("flag.text")}</p>
      <label className="yz-field__label" htmlFor={id}>{t("flag.why")}</label>
      <textarea id={id} className="p-textarea" rows={4} maxLength={MOST_LETTERS} value={reason} onChange={(event) => setReason(event.target.value)} />
      <button type="button" className="yz-button yz-button--block" disabled={busy || reason.trim() === ""} onClick={() => void submit()}>{t("flag.submit")}</button>
    </Sheet>
  );
}
