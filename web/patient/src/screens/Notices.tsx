import { format, useApi, usePreferences } from "@yunzhen/shared";
import { useQueryClient } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { useNavigate } from "react-router";
import { type Notice, useBadge, useNotices } from "../queries";
import { Blank } from "../ui/bits";
import { Icon, type IconName } from "../ui/Icon";
import { Page } from "../ui/Page";
import { PagedList } from "../ui/paged";
import { useTellFailure } from "../ui/toast";
import { type Key, useT } from "../words";
import { closeKey } from "./Order";

const ICONS: Partial<Record<Notice["kind"], IconName>> = {
  replied: "chat", replies_gifted: "gift", refunded: "card", order_closed: "check", order_reopened: "retry", time_left: "clock",
  referral_accepted: "doctor", order_referred: "doctor", order_taken: "doctor", order_returned: "retry", after_sales_decided: "card", reply_flagged: "alert", critical_value: "alert",
};
const OWN: readonly Notice["kind"][] = [
  "replied", "replies_gifted", "order_closed", "order_reopened", "refunded", "referral_accepted", "order_referred", "reply_flagged",
  "order_taken", "order_returned", "after_sales_decided",
];
/** What these tell of is on the order's page; all else is said in the chat. */
const ON_ORDER: readonly Notice["kind"][] = ["refunded", "order_closed", "referral_accepted", "reply_flagged", "after_sales_decided"];

export default function Notices(): ReactNode {
  const t = useT();
  const api = useApi();
  const fail = useTellFailure();
  const queries = useQueryClient();
  const query = useNotices();
  const unread = useBadge();
  const newest = query.data?.pages[0]?.items[0];
  const readAll = async (): Promise<void> => {
    if (newest === undefined) return;
    try {
      await api.call("read_notices", { body: { up_to: newest.notice_id, notice_ids: null } });
      await queries.invalidateQueries({ queryKey: ["notices"] });
    } catch (error) {
      fail(error);
    }
  };
  return (
    <Page title={t("notices.title")} up={null} action={unread > 0 && <button type="button" className="yz-link" onClick={() => void readAll()}>{t("notices.readAll")}</button>}>
      <PagedList query={query} className="p-list p-list--tight" empty={<Blank icon="bell" title={t("notices.none")} text={t("notices.none.text")} />}>
        {(notice) => <NoticeRow key={notice.notice_id} notice={notice} />}
      </PagedList>
    </Page>
  );
}

function NoticeRow({ notice }: { notice: Notice }): ReactNode {
  const t = useT();
  const api = useApi();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const { language } = usePreferences();
  const { title, text } = wordsOf(notice, t);
  const open = async (): Promise<void> => {
    if (notice.read_at === null) {
      void api.call("read_notices", { body: { notice_ids: [notice.notice_id], up_to: null } }).then(
        () => queries.invalidateQueries({ queryKey: ["notices"] }),
        () => undefined, // it stays unread
      );
    }
    if (notice.order_id !== null) await navigate(ON_ORDER.includes(notice.kind) ? `/orders/${notice.order_id}` : `/orders/${notice.order_id}/chat`);
  };
  return (
    <li>
      <button type="button" className={notice.read_at === null ? "p-card p-notice p-notice--new" : "p-card p-notice"} onClick={() => void open()}>
        <span className="p-row__icon"><Icon name={ICONS[notice.kind] ?? "bell"} /></span>
        <span className="p-notice__words">
          <span className="p-notice__title">{title}{notice.read_at === null && <span className="yz-hidden">{t("notices.new")}</span>}</span>
          <span className="p-notice__text">{text}</span>
          <time dateTime={notice.created_at}>{format.when(notice.created_at, language)}</time>
        </span>
      </button>
    </li>
  );
}

/** In this person's language where we have the words; the server's own otherwise. */
function wordsOf(notice: Notice, t: ReturnType<typeof useT>): { title: string; text: string } {
  if (!OWN.includes(notice.kind)) return { title: notice.title, text: notice.text };
  const { amount_fen, count, close_reason } = notice.data as { amount_fen?: number; count?: number; close_reason?: string };
  const title = t(`notice.${notice.kind}` as Key);
  if (notice.kind === "order_closed" && close_reason !== undefined) return { title, text: t(closeKey(close_reason)) };
  return { title, text: t(`notice.${notice.kind}.text` as Key, { amount: format.yuan(amount_fen ?? 0), count: count ?? 0 }) };
}
