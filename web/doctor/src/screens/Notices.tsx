import { Failure, Loading, type Models, format, usePreferences, useRuntime } from "@yunzhen/shared";
import { useInfiniteQuery, useMutation } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { useNavigate } from "react-router";
import { Blank } from "../ui/Blank";
import { Sign, type SignName } from "../ui/Sign";
import { useToasts } from "../ui/Toast";
import { useT, words } from "../words";

type Notice = Models["NoticeOut"];

const SIGNS: Partial<Record<Notice["kind"], SignName>> = {
  order_paid: "person", time_left: "alert", critical_value: "alert", rated: "star", record_access_changed: "lock", order_closed: "check",
  order_reopened: "undo", replies_gifted: "gift",
};

/** What one was told, newest first; opening one reads it. */
export default function Notices(): ReactNode {
  const { api, queries } = useRuntime();
  const t = useT();
  const { sorry } = useToasts();
  const query = useInfiniteQuery({
    queryKey: ["notices", "list"],
    queryFn: ({ pageParam, signal }) => api.call("list_notices", { query: { limit: 30, cursor: pageParam }, signal }),
    initialPageParam: null as string | null,
    getNextPageParam: (page: Models["NoticePage"]) => page.next_cursor,
  });
  const read = useMutation({
    mutationFn: (body: Models["NoticesReadIn"]) => api.call("read_notices", { body }),
    onSuccess: (badge) => queries.setQueryData(["notices", "badge"], badge),
    onError: sorry,
    onSettled: () => queries.invalidateQueries({ queryKey: ["notices", "list"] }),
  });
  const notices = query.data?.pages.flatMap((page) => page.items) ?? [];
  const first = notices[0];
  return (
    <main className="dr-screen">
      <header className="dr-screen__head">
        <h1>{t("notices.title")}</h1>
        {notices.some((each) => each.read_at === null) && first !== undefined && (
          <button type="button" className="yz-button yz-button--quiet" disabled={read.isPending} onClick={() => read.mutate({ up_to: first.notice_id, notice_ids: null })}>{t("notices.readAll")}</button>
        )}
      </header>
      {query.data === undefined ? (query.error ? <Failure error={query.error} onRetry={() => void query.refetch()} /> : <Loading />) : (
        <>
          {notices.length === 0 && <Blank sign="bell" title={t("notices.empty")} hint={t("notices.empty.hint")} />}
          <ul className="dr-notices">
            {notices.map((notice) => <li key={notice.notice_id}><NoticeRow notice={notice} onRead={() => read.mutate({ notice_ids: [notice.notice_id], up_to: null })} /></li>)}
          </ul>
          {query.hasNextPage && <button type="button" className="yz-button yz-button--quiet dr-more" disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>{t("desk.more")}</button>}
        </>
      )}
    </main>
  );
}

function NoticeRow({ notice, onRead }: { notice: Notice; onRead: () => void }): ReactNode {
  const t = useT();
  const { language } = usePreferences();
  const navigate = useNavigate();
  const { title, text } = useWords(notice);
  const open = (): void => {
    if (notice.read_at === null) onRead();
    const record = notice.data["record_id"];
    if (notice.order_id !== null) void navigate(`/orders/${notice.order_id}`, { state: typeof record === "string" ? { record } : null });
  };
  return (
    <button type="button" className="dr-notice" data-unread={notice.read_at === null} data-kind={notice.kind} onClick={open}>
      <span className="dr-notice__sign"><Sign name={SIGNS[notice.kind] ?? "bell"} /></span>
      <span className="dr-notice__body">
        <strong>{title}{notice.read_at === null && <span className="yz-hidden"> ({t("notices.unread")})</span>}</strong>
        <span>{text}</span>
      </span>
      <time dateTime={notice.created_at}>{format.when(notice.created_at, language)}</time>
    </button>
  );
}

/** Ours from kind and data; what this version does not know is said in the server's words. */
function useWords(notice: Notice): { title: string; text: string } {
  const t = useT();
  const { language } = usePreferences();
  const known = words[language] as Record<string, string | undefined>;
  if (known[`notice.${notice.kind}.title`] === undefined) return { title: notice.title, text: notice.text };
  const fill = Object.fromEntries(Object.entries(notice.data).map(([name, value]) => [name, String(value)]));
  return { title: t(`notice.${notice.kind}.title` as "notice.rated.title"), text: t(`notice.${notice.kind}` as "notice.rated", fill) };
}
