import { Failure, Loaded, Loading, type Models, format, useApi, usePreferences } from "@yunzhen/shared";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link } from "react-router";
import { percent, span } from "../rules/figures";
import { Blank } from "../ui/Blank";
import { Sign } from "../ui/Sign";
import { useT } from "../words";

/** One's own work in figures, and what patients said of it. */
export default function Figures(): ReactNode {
  const t = useT();
  const api = useApi();
  const figures = useQuery({ queryKey: ["desk", "figures"], queryFn: ({ signal }) => api.call("get_desk_figures", { signal }) });
  return (
    <main className="dr-screen">
      <header className="dr-screen__head"><h1>{t("figures.title")}</h1></header>
      <Loaded query={figures}>{(found) => <Tiles figures={found} />}</Loaded>
      <h2 className="dr-section">{t("ratings.title")}</h2>
      <Ratings />
    </main>
  );
}

function Tiles({ figures }: { figures: Models["FiguresOut"] }): ReactNode {
  const t = useT();
  const none = t("figures.none");
  const median = figures.median_reply_minutes === null ? null : span(figures.median_reply_minutes);
  const tiles = [
    { name: t("figures.income"), value: format.yuan(figures.income_fen), note: null, main: true },
    { name: t("figures.stars"), value: figures.stars === null ? none : figures.stars.toFixed(1), note: t("figures.ratings", { count: figures.ratings }), main: false },
    { name: t("figures.replied"), value: figures.replied_rate === null ? none : percent(figures.replied_rate), note: null, main: false },
    { name: t("figures.median"), value: median === null ? none : t(`figures.${median.unit}`, { count: median.count }), note: null, main: false },
    { name: t("figures.orders"), value: String(figures.orders), note: `${t("figures.completed")} ${String(figures.completed)} · ${t("figures.open")} ${String(figures.open_orders)}`, main: false },
  ];
  return (
    <dl className="dr-tiles">
      {tiles.map(({ name, value, note, main }) => (
        <div key={name} className="dr-tile" data-main={main}>
          <dt>{name}</dt>
          <dd><strong>{value}</strong>{note !== null && <span>{note}</span>}</dd>
        </div>
      ))}
    </dl>
  );
}

function Ratings(): ReactNode {
  const t = useT();
  const api = useApi();
  const { language } = usePreferences();
  const query = useInfiniteQuery({
    queryKey: ["orders", "completed"],
    queryFn: ({ pageParam, signal }) => api.call("list_orders", { query: { status: "completed", limit: 50, cursor: pageParam }, signal }),
    initialPageParam: null as string | null,
    getNextPageParam: (page: Models["OrderPage"]) => page.next_cursor,
  });
  if (query.data === undefined) return query.error ? <Failure error={query.error} onRetry={() => void query.refetch()} /> : <Loading />;
  const rated = query.data.pages.flatMap((page) => page.items).filter((order) => order.rating !== null);
  return (
    <>
      {rated.length === 0 && !query.hasNextPage && <Blank sign="star" title={t("ratings.empty")} hint={t("ratings.empty.hint")} />}
      <ul className="dr-ratings">
        {rated.map(({ id, rating, patient }) => rating !== null && (
          <li key={id}>
            <Link to={`/orders/${id}`} className="dr-rating">
              <span className="dr-rating__top">
                <span className="dr-stars" role="img" aria-label={t("ratings.stars", { stars: rating.stars })}>
                  {[1, 2, 3, 4, 5].map((each) => <Sign key={each} name="star" full={each <= rating.stars} />)}
                </span>
                <span>{patient.name}</span>
                <time dateTime={rating.rated_at}>{format.when(rating.rated_at, language)}</time>
              </span>
              {rating.text !== "" && <span className="dr-rating__text">{rating.text}</span>}
              {rating.tags.length > 0 && <span className="dr-rating__tags">{rating.tags.map((tag) => <span key={tag} className="dr-chip">{tag}</span>)}</span>}
            </Link>
          </li>
        ))}
      </ul>
      {query.hasNextPage && <button type="button" className="yz-button yz-button--quiet dr-more" disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>{t("desk.more")}</button>}
    </>
  );
}
