import { CheckCircleFilled, ClockCircleFilled, WarningFilled } from "@ant-design/icons";
import { type Models, format, usePreferences } from "@yunzhen/shared";
import { Fragment, type ReactNode } from "react";
import { type Key, useT } from "../words";
import { Panel } from "./parts";

type Deadlines = Models["DeadlinesOut"];
type Decision = Deadlines["decisions"][number];
const INPUTS = ["counted_replies", "limit", "fee_fen", "outcome"] as const;

/** Every timed decision of an order with what it rested on, decided again by the server just now. */
export function DeadlineProof({ deadlines }: { deadlines: Deadlines }): ReactNode {
  const t = useT();
  const { holds, waiting, decisions, findings } = deadlines;
  const verdict: Key = !holds ? "deadlines.broken" : waiting ? "deadlines.waiting" : "deadlines.holds";
  return (
    <Panel title={t("deadlines.title")}>
      <p className={holds ? "c-verdict c-verdict--small c-verdict--good" : "c-verdict c-verdict--small c-verdict--bad"}>
        <span aria-hidden="true">{!holds ? <WarningFilled /> : waiting ? <ClockCircleFilled /> : <CheckCircleFilled />}</span>{t(verdict)}
      </p>
      {decisions.map((decision) => <DecisionFacts key={decision.seq} decision={decision} />)}
      {findings.length > 0 && <ul className="c-findings">{findings.map((each) => <li key={`${each.fault} ${String(each.seq)}`}>{t(`deadlines.fault.${each.fault}`)} · {each.detail}</li>)}</ul>}
    </Panel>
  );
}

function DecisionFacts({ decision }: { decision: Decision }): ReactNode {
  const t = useT();
  const { language } = usePreferences();
  const facts: [Key, string][] = [
    ["deadlines.due", decision.due_at === null ? "—" : format.exactly(decision.due_at, language)],
    ["deadlines.at", format.exactly(decision.at, language)],
    ["deadlines.late", decision.late_ms === null ? "—" : t("deadlines.seconds", { seconds: (decision.late_ms / 1000).toFixed(3) })],
    ...INPUTS.flatMap((name): [Key, string][] => {
      const value = decision.inputs[name];
      if (value === undefined || value === null) return [];
      if (name === "fee_fen") return [["orders.fee", format.yuan(Number(value))]];
      if (name === "outcome") return [["deadlines.outcome", value === "earned" ? t("deadlines.outcome.earned") : t("deadlines.outcome.refund")]];
      return [[`deadlines.${name}`, String(value)]];
    }),
  ];
  return (
    <section>
      <h3 className="c-facts__title">{t(decision.kind === "settled" ? "deadlines.settled" : "deadlines.expired")} · {t("order.said.seq", { seq: decision.seq })}</h3>
      <dl className="c-facts">{facts.map(([name, value]) => <Fragment key={name}><dt>{t(name)}</dt><dd>{value}</dd></Fragment>)}</dl>
    </section>
  );
}
