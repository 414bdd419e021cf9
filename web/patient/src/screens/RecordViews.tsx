import { format, usePreferences } from "@yunzhen/shared";
import type { ReactNode } from "react";
import { useParams } from "react-router";
import { useRecordViews } from "../queries";
import { Avatar, Blank } from "../ui/bits";
import { Page } from "../ui/Page";
import { PagedList } from "../ui/paged";
import { useT } from "../words";

/** Who saw what of the records, as it happens: the live connection asks for the list anew at each look. */
export default function RecordViews(): ReactNode {
  const { id = "" } = useParams();
  const t = useT();
  const { language } = usePreferences();
  const query = useRecordViews(id);
  return (
    <Page title={t("views.title")} up={`/orders/${id}`}>
      <p className="p-lead">{t("views.lead")}</p>
      <div aria-live="polite">
        <PagedList query={query} className="p-list p-list--tight" empty={<Blank icon="shield" title={t("views.none")} text={t("views.none.text")} />}>
          {(view) => (
            <li key={view.view_id} className="p-card p-view">
              <Avatar name={view.doctor.name} />
              <p><strong>{t("views.one", { doctor: view.doctor.name })}</strong><span>{view.title} · {t("views.page", { page: view.page })}</span></p>
              <time dateTime={view.viewed_at}>{format.when(view.viewed_at, language)}</time>
            </li>
          )}
        </PagedList>
      </div>
    </Page>
  );
}
