import { useSession } from "@yunzhen/shared";
import { useUnsent } from "@yunzhen/shared/chat/queue";
import type { ReactNode } from "react";
import { Link } from "react-router";
import { Mark } from "@yunzhen/shared";
import { isOpen } from "../orders/state";
import { useDepartments, useDoctors, useOrders } from "../queries";
import { DoctorCard } from "../ui/DoctorCard";
import { Icon } from "../ui/Icon";
import { OrderCard } from "../ui/OrderCard";
import { Loaded } from "../ui/Trouble";
import { PagedList } from "../ui/paged";
import { Blank, Card, LinkRow } from "../ui/bits";
import { useT } from "../words";

const MOST_SHOWN = 3;

export default function Home(): ReactNode {
  const t = useT();
  const state = useSession();
  const name = state.status === "in" ? state.account.name : "";
  return (
    <div className="p-page">
      <header className="p-hero">
        <div className="p-hero__brand"><Mark className="p-hero__mark" /><span>{t("app.patient")}</span></div>
        <h1>{name === "" ? t("home.hello") : t("home.greeting", { name })}</h1>
        <p>{t("home.tagline")}</p>
        <Link className="p-searchlink" to="/doctors"><Icon name="search" /><span>{t("doctors.search")}</span></Link>
      </header>
      <main className="p-main">
        <Unsent />
        <Running />
        <Card className="p-rows"><LinkRow to="/quick" icon="clock" title={t("quick.title")} note={t("quick.note")} /></Card>
        <section aria-labelledby="departments">
          <h2 id="departments" className="p-h2">{t("home.departments")}</h2>
          <Departments />
        </section>
        <section aria-labelledby="doctors">
          <div className="p-h2row"><h2 id="doctors" className="p-h2">{t("home.doctors")}</h2><Link to="/doctors">{t("list.all")}</Link></div>
          <Accepting />
        </section>
        <p className="p-emergency"><Icon name="alert" />{t("home.emergency")}</p>
      </main>
    </div>
  );
}

/** Something that was written did not reach the doctor: said here too, since its consult may be over and not in sight. */
function Unsent(): ReactNode {
  const t = useT();
  const unsent = useUnsent();
  const { data } = useOrders(null);
  if (unsent.size === 0) return null;
  const order = (data?.pages ?? []).flatMap((page) => page.items).find((each) => unsent.has(each.conversation_id));
  return (
    <div role="alert">
      <Link className="p-unsent" to={order === undefined ? "/orders" : `/orders/${order.id}/chat`}>
        <Icon name="alert" /><span>{t("home.unsent")}</span><Icon name="forward" />
      </Link>
    </div>
  );
}

/** What waits for the patient or for the doctor, first of all. */
function Running(): ReactNode {
  const t = useT();
  const { data } = useOrders(null);
  const running = (data?.pages[0]?.items ?? []).filter((order) => isOpen(order) || order.status === "pending_payment");
  if (running.length === 0) return null;
  return (
    <section aria-labelledby="running">
      <div className="p-h2row"><h2 id="running" className="p-h2">{t("home.running")}</h2><Link to="/orders">{t("list.all")}</Link></div>
      <ul className="p-list">{running.slice(0, MOST_SHOWN).map((order) => <OrderCard key={order.id} order={order} />)}</ul>
    </section>
  );
}

function Departments(): ReactNode {
  const query = useDepartments();
  return (
    <Loaded query={query} rows={1}>
      {({ items }) => (
        <ul className="p-departments">
          {items.map(({ id, name }, index) => (
            <li key={id}>
              <Link to={`/doctors?department=${id}`}>
                <span className={`p-departments__sign p-avatar--${index % 6}`} aria-hidden="true">{name.slice(0, 1)}</span>
                {name}
              </Link>
            </li>
          ))}
        </ul>
      )}
    </Loaded>
  );
}

function Accepting(): ReactNode {
  const t = useT();
  const query = useDoctors({ q: "", departmentId: null, accepting: true });
  const first = query.data === undefined ? query : { ...query, hasNextPage: false, data: { ...query.data, pages: query.data.pages.slice(0, 1).map((page) => ({ ...page, items: page.items.slice(0, 6) })) } };
  return (
    <PagedList query={first} empty={<Blank icon="doctor" title={t("doctors.none.accepting")} />}>
      {(doctor) => <DoctorCard key={doctor.id} doctor={doctor} />}
    </PagedList>
  );
}
