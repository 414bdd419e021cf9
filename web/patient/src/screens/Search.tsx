import { type Models, format, useApi, usePreferences, useSession } from "@yunzhen/shared";
import { type ReactNode, useEffect, useState } from "react";
import { Link, useSearchParams } from "react-router";
import { useOrder } from "../queries";
import { Blank } from "../ui/bits";
import { Icon } from "../ui/Icon";
import { Page } from "../ui/Page";
import { PagedList, usePaged } from "../ui/paged";
import { useT } from "../words";
import { around, searchable } from "../search";

type Hit = Models["HitOut"];
const PAUSE_MS = 350;
const PAGE = 20;
const MOST_LETTERS = 64;

/** One's own conversations by their words. The address holds what was looked for, so that the way back finds it again. */
export default function Search(): ReactNode {
  const t = useT();
  const api = useApi();
  const [search, setSearch] = useSearchParams();
  const [typed, setTyped] = useState(search.get("q") ?? "");
  const q = search.get("q") ?? "";
  useEffect(() => {
    const wanted = typed.trim();
    if (wanted === q) return undefined;
    const timer = setTimeout(() => setSearch(wanted === "" ? {} : { q: wanted }, { replace: true }), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [typed, q, setSearch]);
  const query = usePaged<Hit>(["search", q], (cursor) => (
    !searchable(q) ? Promise.resolve({ items: [] }) : api.call("search_messages", { body: { q, cursor, limit: PAGE, conversation_id: null } })
  ));
  return (
    <Page title={t("search.title")} up="/orders">
      <div className="p-search">
        <Icon name="search" />
        <input
          type="search" value={typed} aria-label={t("search.field")} placeholder={t("search.field")} maxLength={MOST_LETTERS} enterKeyHint="search"
          onChange={(event) => setTyped(event.target.value)}
        />
      </div>
      {!searchable(q) ? <Blank icon="search" title={t(q === "" ? "search.begin" : "search.short")} text={t(q === "" ? "search.begin.text" : "search.short.text")} /> : (
        <PagedList query={query} className="p-list p-list--tight" empty={<Blank icon="search" title={t("search.none")} text={t("search.none.text")} />}>
          {(hit) => <HitRow key={`${hit.conversation_id}/${hit.message.seq}`} hit={hit} q={q} />}
        </PagedList>
      )}
    </Page>
  );
}

function HitRow({ hit, q }: { hit: Hit; q: string }): ReactNode {
  const t = useT();
  const { language } = usePreferences();
  const session = useSession();
  const { data: order } = useOrder(hit.order_id);
  const { message } = hit;
  const mine = session.status === "in" && message.sender.account_id === session.account.account_id;
  const text = message.parts.flatMap((part) => (part.kind === "text" ? [part.text] : [])).join(" ");
  return (
    <li className="p-card p-hit">
      <Link className="p-hit__link" to={`/orders/${hit.order_id}/chat?seq=${message.seq}`}>
        <span className="p-hit__head">
          <strong>{mine ? t("search.me") : (message.sender.name ?? "")}</strong>
          <time dateTime={message.sent_at}>{format.when(message.sent_at, language)}</time>
        </span>
        <span className="p-hit__text">{around(text, q).map(({ text: part, found }, index) => (found ? <mark key={index}>{part}</mark> : <span key={index}>{part}</span>))}</span>
        {order !== undefined && <small>{t("search.where", { doctor: order.doctor.name, patient: order.patient.name })}</small>}
      </Link>
    </li>
  );
}
