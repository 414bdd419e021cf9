import { SearchOutlined } from "@ant-design/icons";
import { Loaded, type Models, useApi } from "@yunzhen/shared";
import { Button, Drawer, Input, Segmented } from "antd";
import { type ReactNode, useState } from "react";
import { Link } from "react-router";
import { useT } from "../words";
import { usePages } from "./list";
import { Badge, ListFoot, Nothing, When } from "./parts";

type Order = Models["OrderOut"];
type Scope = "order" | "patient";
const MOST_LETTERS = 64;

/** What was said in an order, or by and to its patient anywhere, found by its words; not what was taken back. Each search is audited. */
export function SearchMessages({ order }: { order: Order }): ReactNode {
  const t = useT();
  const [open, setOpen] = useState(false);
  return (
    <>
      <Button icon={<SearchOutlined />} onClick={() => setOpen(true)}>{t("said.search")}</Button>
      <Drawer title={t("said.search")} open={open} onClose={() => setOpen(false)} size={560} destroyOnHidden>
        <Found order={order} onGo={() => setOpen(false)} />
      </Drawer>
    </>
  );
}

function Found({ order, onGo }: { order: Order; onGo: () => void }): ReactNode {
  const api = useApi();
  const t = useT();
  const [scope, setScope] = useState<Scope>("order");
  const [asked, setAsked] = useState("");
  const within = { order_id: scope === "order" ? order.id : null, patient_id: scope === "patient" ? order.patient.id : null };
  const query = usePages(["said", scope, order.id, asked], (cursor, signal) =>
    asked === "" ? Promise.resolve({ items: [] as Models["StaffHitOut"][] }) : api.call("search_staff_messages", { body: { q: asked, ...within, cursor, limit: 20 }, signal }));
  return (
    <div className="c-form">
      <Segmented<Scope> aria-label={t("said.scope")} value={scope} onChange={setScope} options={[{ value: "order", label: t("said.scope.order") }, { value: "patient", label: t("said.scope.patient") }]} />
      <Input.Search aria-label={t("said.words")} placeholder={t("said.words")} allowClear maxLength={MOST_LETTERS} enterButton={t("list.search")} onSearch={(words) => setAsked(words.trim())} />
      <p className="c-muted">{t("said.audited")}</p>
      {asked !== "" && (
        <Loaded query={{ data: query.items, error: query.error, refetch: query.refetch }}>
          {(hits) => hits.length === 0 && !query.hasNextPage ? <Nothing title={t("said.none")} icon={<SearchOutlined />} /> : (
            <>
              <ul className="c-list c-list--plain">{hits.map((hit) => <li key={`${hit.conversation_id} ${String(hit.message.seq)}`}><Hit hit={hit} here={order.id} onGo={onGo} /></li>)}</ul>
              <ListFoot count={Math.max(1, hits.length)} query={query} />
            </>
          )}
        </Loaded>
      )}
    </div>
  );
}

function Hit({ hit, here, onGo }: { hit: Models["StaffHitOut"]; here: string; onGo: () => void }): ReactNode {
  const t = useT();
  const { message } = hit;
  const words = message.parts.flatMap((part) => (part.text == null ? [] : [part.text])).join("\n");
  return (
    <article className="c-hit">
      <p className="c-story__head">
        <strong>{message.sender.name ?? t(`role.${message.sender.role as "patient"}`)}</strong>
        <span className="c-story__who"><When at={message.sent_at} /> · {t("order.said.seq", { seq: message.seq })}</span>
        {hit.corrected_by !== null && <Badge tone="warning">{t("said.corrected", { seq: hit.corrected_by })}</Badge>}
        {hit.order_id !== here && <Link to={`/orders/${hit.order_id}`} onClick={onGo}>{t("refunds.openOrder")}</Link>}
      </p>
      <p className="c-story__words">{words}</p>
    </article>
  );
}
