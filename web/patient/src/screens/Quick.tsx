import { format } from "@yunzhen/shared";
import type { ReactNode } from "react";
import { Link } from "react-router";
import { useQuickOffers } from "../queries";
import { Avatar, Blank, Card } from "../ui/bits";
import { Icon } from "../ui/Icon";
import { Page } from "../ui/Page";
import { Loaded } from "../ui/Trouble";
import { useT } from "../words";

/** A department instead of a doctor: whoever of it is free first takes the order. */
export default function Quick(): ReactNode {
  const t = useT();
  const query = useQuickOffers();
  return (
    <Page title={t("quick.title")} up="/">
      <p className="yz-field__hint">{t("quick.text")}</p>
      <Loaded query={query}>
        {(offers) => (offers.length === 0 ? <Blank icon="doctor" title={t("quick.none")} /> : (
          <ul className="p-list">
            {offers.map((offer) => (
              <li key={offer.department_id}>
                <Card className="p-strip">
                  <Avatar name={offer.department} />
                  <p><strong>{offer.department}</strong><small>{t(offer.doctors > 0 ? "quick.doctors" : "quick.off", { count: offer.doctors })}</small></p>
                  <strong className="p-price">{format.yuan(offer.fee_fen)}</strong>
                  {offer.doctors > 0 && (
                    <Link className="yz-button p-button--link" to={`/quick/${offer.department_id}`} aria-label={t("quick.ask.of", { department: offer.department })}>
                      {t("quick.ask")}<Icon name="forward" />
                    </Link>
                  )}
                </Card>
              </li>
            ))}
          </ul>
        ))}
      </Loaded>
    </Page>
  );
}
