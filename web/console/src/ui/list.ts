import { useInfiniteQuery } from "@tanstack/react-query";

interface PageOf<T> {
  items: readonly T[];
  next_cursor?: string | null;
}

/** A list that comes page by page: what was loaded so far, and the next page on demand. */
export function usePages<T>(queryKey: readonly unknown[], ask: (cursor: string | null, signal: AbortSignal) => Promise<PageOf<T>>, refetchInterval: number | false = false) {
  const query = useInfiniteQuery({
    queryKey,
    queryFn: ({ pageParam, signal }) => ask(pageParam, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next_cursor ?? null,
    refetchInterval,
  });
  return { ...query, items: query.data?.pages.flatMap((page) => page.items) };
}
