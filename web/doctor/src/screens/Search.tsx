import { Failure, Loading, type Models, format, useApi, usePreferences } from "@yunzhen/shared";
import { textOf } from "@yunzhen/shared/chat";
import { useInfiniteQuery } from "@tanstack/react-query";
import { type ReactNode, type SubmitEvent, useEffect, useState } from "react";
import { Link } from "react-router";
import { useOrder } from "../data/desk";
import { snippetOf } from "../rules/search";
import { Blank } from "../ui/Blank";
import { Sign } from "../ui/Sign";
import { useT } from "../words";

type Hit = Models["HitOut"];
const MOST_LETTERS = 64;
const ENOUGH = 10;
const MOST_PAGES = 5; // of those that are asked for unbidden

interface Props {
  /** In this conversation alone; else in all of one's own. */
  conversationId?: string;
  onGo?: () => void;
}

/** Messages found by their words, in what is this doctor's to read now; each leads to its place in its conversation. */
export function SearchMessages({ conversationId, onGo }: Props): ReactNode {
  const t = useT();
  const api = useApi();
  const [words, setWords] = useState("");
  const [asked, setAsked] = useState("");
  const query = useInfiniteQuery({
    queryKey: ["search", conversationId ?? null, asked],
    enabled: asked !== "",
    gcTime: 0, // words of patients are kept no longer than they are looked at
    queryFn: ({ pageParam, signal }) => api.call("search_messages", { body: { q: asked, conversation_id: conversationId ?? null, limit: 20, cursor: pageParam }, signal }),
    initialPageParam: null as string | null,
    getNextPageParam: (page: Models["HitPage"]) => page.next_cursor ?? null,
  });
  const hits = query.data?.pages.flatMap((page) => page.items) ?? [];
  const { hasNextPage, isFetching, fetchNextPage } = query;
  const goOn = hasNextPage && !isFetching && hits.length < ENOUGH && (query.data?.pages.length ?? 0) < MOST_PAGES;
  useEffect(() => {
    if (goOn) void fetchNextPage();
  }, [goOn, fetchNextPage]);
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    setAsked(words.trim());
  };
  return (
    <search className="dr-find">
      <form className="dr-find__form" onSubmit={submit}>
        {/* eslint-disable-next-line jsx-a11y/no-autofocus -- it was asked for to be written into */}
        <input className="yz-field__input" type="search" autoFocus value={words} maxLength={MOST_LETTERS} aria-label={t("search.words")} placeholder={t("search.words")} onChange={(event) => { setWords(event.target.value); if (event.target.value === "") setAsked(""); }} />
        <button type="submit" className="yz-button" disabled={words.trim() === ""}>{t("search.go")}</button>
      </form>
      {asked === "" ? <Blank sign="search" title={t("search.title")} hint={t(conversationId === undefined ? "search.hint" : "search.hint.here")} />
        : query.error !== null && hits.length === 0 ? <Failure error={query.error} onRetry={() => void query.refetch()} />
        : hits.length === 0 && (isFetching || hasNextPage) ? <Loading />
        : hits.length === 0 ? <Blank sign="search" title={t("search.none")} hint={t("search.none.hint")} />
        : (
          <>
            <p className="yz-hidden" role="status">{t("search.found", { count: hits.length })}</p>
            <ul className="dr-hits">
              {hits.map((hit) => <li key={`${hit.conversation_id} ${String(hit.message.seq)}`}><HitRow hit={hit} asked={asked} onGo={onGo} named={conversationId === undefined} /></li>)}
            </ul>
            {hasNextPage && <button type="button" className="yz-button yz-button--quiet dr-more" disabled={isFetching} onClick={() => void fetchNextPage()}>{t("desk.more")}</button>}
          </>
        )}
    </search>
  );
}

function HitRow({ hit, asked, named, onGo }: { hit: Hit; asked: string; named: boolean; onGo?: (() => void) | undefined }): ReactNode {
  const { language } = usePreferences();
  const order = useOrder(hit.order_id);
  const { message } = hit;
  const { before, match, after } = snippetOf(textOf(message as Parameters<typeof textOf>[0]), asked);
  return (
    <Link className="dr-hit" to={`/orders/${hit.order_id}`} state={{ seq: message.seq }} onClick={onGo}>
      <span className="dr-hit__top">
        <strong>{named ? (order.data?.patient.name ?? "…") : (message.sender.name ?? "")}</strong>
        {named && <span className="dr-hit__who">{message.sender.name}</span>}
        <time dateTime={message.sent_at}>{format.when(message.sent_at, language)}</time>
      </span>
      <span className="dr-hit__text">{before}<mark>{match}</mark>{after}</span>
    </Link>
  );
}

/** In the head of the lists: from orders to a search and back. */
export function SearchSwitch({ on, onChange }: { on: boolean; onChange: (on: boolean) => void }): ReactNode {
  const t = useT();
  return (
    <button type="button" className="yz-tool" aria-pressed={on} aria-label={t(on ? "search.close" : "search.open")} title={`${t(on ? "search.close" : "search.open")} (Alt+F)`} onClick={() => onChange(!on)}>
      <Sign name={on ? "cross" : "search"} />
    </button>
  );
}
