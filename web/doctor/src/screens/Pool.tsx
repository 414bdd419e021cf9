import { format } from "@yunzhen/shared";
import { Countdown } from "@yunzhen/shared/chat";
import type { ReactNode } from "react";
import { type Waiting, usePool, useTake } from "../data/pool";
import { useT } from "../words";

/** What the doctor could take, above what the doctor has. Nothing of the patient but what is needed to decide. */
export function Pool(): ReactNode {
  const t = useT();
  const waiting = usePool();
  if (waiting.length === 0) return null;
  return (
    <section className="dr-pool" aria-label={t("pool.title")}>
      <h2>{t("pool.title")} <span className="dr-tabs__count" data-some="true">{waiting.length}</span></h2>
      <ul className="dr-orders">{waiting.map((each) => <li key={each.order_id}><PoolRow waiting={each} /></li>)}</ul>
    </section>
  );
}

function Whom({ sex, age }: { sex: string; age: number | null }): ReactNode {
  const t = useT();
  const words = [sex === "male" ? t("sex.male") : sex === "female" ? t("sex.female") : null, age === null ? null : t("patient.age", { age })];
  return words.filter((word) => word !== null).join(" · ");
}

function PoolRow({ waiting }: { waiting: Waiting }): ReactNode {
  const t = useT();
  const take = useTake();
  return (
    <div className="dr-order">
      <span className="dr-order__body">
        <span className="dr-order__top">
          <strong><Whom sex={waiting.sex} age={waiting.age} /></strong>
          <span className="dr-order__person">{format.yuan(waiting.fee_fen)}</span>
          <Countdown until={waiting.deadline_at} />
        </span>
        <span className="dr-order__text">{waiting.complaint}</span>
        <span className="dr-order__bottom">
          <span>{t(`kind.${waiting.kind}`)}</span>
          {waiting.images > 0 && <span>{t("pool.images", { count: waiting.images })}</span>}
          <button type="button" className="yz-button" disabled={take.isPending} onClick={() => take.mutate(waiting.order_id)}>{t("pool.take")}</button>
        </span>
      </span>
    </div>
  );
}
