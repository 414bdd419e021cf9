import type { ReactNode } from "react";
import { Link, useSearchParams } from "react-router";
import { STATUSES } from "../orders/state";
import { useOrders } from "../queries";
import { Blank } from "../ui/bits";
import { Icon } from "../ui/Icon";
import { OrderCard } from "../ui/OrderCard";
import { Page } from "../ui/Page";
import { PagedList } from "../ui/paged";
import { useT } from "../words";

export default function Orders(): ReactNode {
  const t = useT();
  const [search, setSearch] = useSearchParams();
  const status = STATUSES.find((each) => each === search.get("status")) ?? null;
  const query = useOrders(status);
  const chips = [null, ...STATUSES];
  return (
    <Page title={t("orders.title")} up={null} action={<Link className="p-iconbutton" to="/search" aria-label={t("search.title")}><Icon name="search" /></Link>}>
      <div className="p-chips" role="group" aria-label={t("orders.status")}>
        {chips.map((each) => (
          <button
            key={each ?? "all"} type="button" className="p-chip" aria-pressed={each === status}
            onClick={() => setSearch(each === null ? {} : { status: each }, { replace: true })}
          >
            {each === null ? t("list.all") : t(`status.${each}`)}
          </button>
        ))}
      </div>
      <PagedList
        query={query}
        empty={status === null ? (
          <Blank icon="inbox" title={t("orders.none")} text={t("orders.none.text")}>
            <Link className="yz-button p-button--link" to="/doctors">{t("orders.find")}</Link>
          </Blank>
        ) : (
          <Blank icon="inbox" title={t("orders.none.status")} text={t("orders.none.status.text")}>
            <button type="button" className="yz-button yz-button--quiet" onClick={() => setSearch({}, { replace: true })}>{t("orders.all")}</button>
          </Blank>
        )}
      >
        {(order) => <OrderCard key={order.id} order={order} />}
      </PagedList>
    </Page>
  );
}
