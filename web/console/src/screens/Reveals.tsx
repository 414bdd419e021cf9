import { EyeInvisibleOutlined } from "@ant-design/icons";
import { Loaded, type Models, newKey, useApi } from "@yunzhen/shared";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Button, Modal } from "antd";
import { type ReactNode, useState } from "react";
import { Link } from "react-router";
import { useMay, useMe } from "../ui/me";
import { Badge, Nothing, Panel, Problem, Screen, ShortId, When, useTell } from "../ui/parts";
import { StaffTable } from "../ui/StaffTable";
import { useT } from "../words";

type Reveal = Models["RevealOut"];
const TONES: Record<Reveal["state"], string> = { asked: "warning", agreed: "success", refused: "quiet" };

/** What was taken back, for the two who agreed to look: never in a cache, gone with the window. */
function Revealed({ reveal, onClose }: { reveal: Reveal; onClose: () => void }): ReactNode {
  const api = useApi();
  const t = useT();
  const query = useQuery({
    queryKey: ["revealed", reveal.reveal_id], gcTime: 0, staleTime: Infinity,
    queryFn: ({ signal }) => api.call("show_reveal", { path: { reveal_id: reveal.reveal_id }, signal }),
  });
  return (
    <Modal title={t("reveal.shown")} open onCancel={onClose} footer={null}>
      <Loaded query={query}>
        {(found) => (
          <div className="c-form">
            <p className="c-story__who">{t("order.said.seq", { seq: found.seq })} · <When at={found.sent_at} /></p>
            <p className="c-story__words">{found.parts.map((part) => (part["kind"] === "text" ? String(part["text"]) : t(part["kind"] === "voice" ? "order.said.voice" : part["kind"] === "card" ? "order.said.card" : "order.said.image"))).join("\n")}</p>
            <p className="c-muted">{t("reveal.audited")}</p>
          </div>
        )}
      </Loaded>
    </Modal>
  );
}

function Answer({ reveal, onClose }: { reveal: Reveal; onClose: () => void }): ReactNode {
  const api = useApi();
  const t = useT();
  const tell = useTell();
  const queries = useQueryClient();
  const [key] = useState(newKey);
  const decide = useMutation({
    mutationFn: (agrees: boolean) => api.call("decide_reveal", { path: { reveal_id: reveal.reveal_id }, body: { agrees }, idempotencyKey: `${key}${agrees ? "1" : "0"}` }),
    onSuccess: (decided) => {
      tell.done(decided.state === "agreed" ? "reveal.agreed" : "reveal.refused");
      onClose();
    },
    onSettled: () => void queries.invalidateQueries({ queryKey: ["reveals"] }),
  });
  return (
    <Modal
      title={t("reveal.answer")} open onCancel={onClose}
      footer={[
        <Button key="no" loading={decide.isPending} onClick={() => decide.mutate(false)}>{t("reveal.refuse")}</Button>,
        <Button key="yes" type="primary" loading={decide.isPending} onClick={() => decide.mutate(true)}>{t("reveal.agree")}</Button>,
      ]}
    >
      <p>{t("reveal.answer.text")}</p>
      <p className="c-story__words">{reveal.reason}</p>
      {decide.isError && <Problem error={decide.error} />}
    </Modal>
  );
}

/** Requests to see what was taken back. One asks, a second person of another office agrees; both may look for a day. */
export default function Reveals(): ReactNode {
  const api = useApi();
  const t = useT();
  const me = useMe().data;
  const mayAnswer = useMay("revealAnswer");
  const [open, setOpen] = useState<Reveal | null>(null);
  const query = useQuery({ queryKey: ["reveals"], queryFn: ({ signal }) => api.call("list_reveals", { signal }), refetchInterval: 30_000 });
  const isMine = (each: Reveal): boolean => me !== undefined && (each.asked_by === me.account_id || each.decided_by === me.account_id);
  const act = (each: Reveal): ReactNode => {
    if (each.state === "asked" && mayAnswer && each.asked_by !== me?.account_id) return <Button size="small" type="primary" onClick={() => setOpen(each)}>{t("reveal.answer")}</Button>;
    if (each.state === "agreed" && isMine(each)) return <Button size="small" onClick={() => setOpen(each)}>{t("reveal.show")}</Button>;
    return null;
  };
  return (
    <Screen title={t("reveal.title")} lead={t("reveal.text")}>
      <Panel flush>
        <Loaded query={query}>
          {({ items }) => items.length === 0 ? <Nothing title={t("reveal.none")} hint={t("reveal.none.hint")} icon={<EyeInvisibleOutlined />} /> : (
            <StaffTable
              name={t("reveal.title")} rows={items} rowKey="reveal_id"
              columns={[
                { title: t("reveal.asked"), render: (each) => <When at={each.asked_at} /> },
                { title: t("orders.status"), render: (each) => <Badge tone={TONES[each.state]}>{t(`reveal.state.${each.state}`)}</Badge> },
                { title: t("reveal.reason"), wrap: true, render: (each) => each.reason },
                { title: t("reveal.message"), render: (each) => <Link to={`/orders/${each.order_id}`}>{t("order.said.seq", { seq: each.seq })}</Link> },
                { title: t("reveal.by"), spare: true, render: (each) => <ShortId id={each.asked_by} /> },
                { title: t("reveal.decided"), spare: true, render: (each) => <When at={each.decided_at} /> },
                { title: t("list.actions"), render: act },
              ]}
            />
          )}
        </Loaded>
      </Panel>
      {open?.state === "asked" && <Answer reveal={open} onClose={() => setOpen(null)} />}
      {open?.state === "agreed" && <Revealed reveal={open} onClose={() => setOpen(null)} />}
    </Screen>
  );
}
