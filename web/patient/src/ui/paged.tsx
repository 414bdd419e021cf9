import { type InfiniteData, type UseInfiniteQueryResult, useInfiniteQuery } from "@tanstack/react-query";
import { type ReactNode, useEffect, useRef } from "react";
import { useT } from "../words";
import { Skeleton } from "./bits";
import { Trouble } from "./Trouble";

export interface PageOf<T> {
  items: T[];
  next_cursor?: string | null;
}

export type Paged<T> = UseInfiniteQueryResult<InfiniteData<PageOf<T>, string | null>>;

/** A list of the server's, page by page. */
export function usePaged<T>(key: readonly unknown[], load: (cursor: string | null) => Promise<PageOf<T>>): Paged<T> {
  return useInfiniteQuery({
    queryKey: key,
    queryFn: ({ pageParam }) => load(pageParam),
    initialPageParam: null as string | null,
    getNextPageParam: (last) => last.next_cursor ?? undefined,
  });
}

interface ListProps<T> {
  query: Paged<T>;
  empty: ReactNode;
  children: (item: T) => ReactNode;
  className?: string;
}

/** Loads on as its end comes into sight; with a button for those who have no scroll wheel. */
export function PagedList<T>({ query, empty, children, className = "p-list" }: ListProps<T>): ReactNode {
  const t = useT();
  const end = useRef<HTMLButtonElement>(null);
  const { fetchNextPage, hasNextPage, isFetchingNextPage } = query;
  useEffect(() => {
    const here = end.current;
    if (here === null || !hasNextPage) return undefined;
    const watcher = new IntersectionObserver(([entry]) => entry?.isIntersecting === true && void fetchNextPage(), { rootMargin: "400px" });
    watcher.observe(here);
    return () => watcher.disconnect();
  }, [fetchNextPage, hasNextPage]);
  const items = query.data?.pages.flatMap((page) => page.items) ?? [];
  const none = query.data !== undefined && items.length === 0;
  useEffect(() => {
    if (none && hasNextPage && !isFetchingNextPage) void fetchNextPage(); // an empty page need not be the last
  }, [none, hasNextPage, isFetchingNextPage, fetchNextPage]);
  if (query.data === undefined || (none && hasNextPage)) {
    return query.error ? <Trouble error={query.error} onRetry={() => void query.refetch()} /> : <Skeleton label={t("common.loading")} />;
  }
  if (none) return empty;
  return (
    <>
      <ul className={className}>{items.map(children)}</ul>
      {hasNextPage && (
        <button ref={end} type="button" className="yz-link p-more" disabled={isFetchingNextPage} onClick={() => void fetchNextPage()}>
          {t(isFetchingNextPage ? "common.loading" : "list.more")}
        </button>
      )}
    </>
  );
}
