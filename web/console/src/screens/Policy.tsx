import { Loaded, useApi } from "@yunzhen/shared";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Button, Input } from "antd";
import { type ReactNode, type SubmitEvent, useState } from "react";
import { rungs } from "../rules/ladder";
import { FormRow } from "../ui/Form";
import { Panel, Problem, Screen, useTell } from "../ui/parts";
import { useT } from "../words";
import { QuickPrices } from "./QuickPrices";

function Ladder({ ladder }: { ladder: string }): ReactNode {
  const t = useT();
  const read = rungs(ladder);
  if (read === null) return null;
  return (
    <Panel title={t("policy.read")}>
      {read.length === 0 && <p>{t("policy.none")}</p>}
      <ol className="c-findings">
        {read.map((rung) => <li key={rung.left}>{t("policy.rung", { left: rung.left, what: rung.means.map((each) => t(`policy.${each}`)).join(" + ") })}</li>)}
      </ol>
    </Panel>
  );
}

function PolicyForm({ ladder }: { ladder: string }): ReactNode {
  const api = useApi();
  const t = useT();
  const tell = useTell();
  const queries = useQueryClient();
  const [text, setText] = useState(ladder);
  const save = useMutation({
    mutationFn: () => api.call("put_reminder_policy", { body: { ladder: text.trim() } }),
    onSuccess: (policy) => {
      queries.setQueryData(["policy"], policy);
      tell.done("policy.saved");
    },
  });
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <div className="c-columns">
      <Panel>
        <form className="c-form" onSubmit={submit} noValidate>
          <FormRow label={t("policy.ladder")} hint={t("policy.hint")}><Input value={text} maxLength={200} onChange={(event) => setText(event.target.value)} /></FormRow>
          {save.isError && <Problem error={save.error} />}
          <div><Button type="primary" htmlType="submit" loading={save.isPending} disabled={text.trim() === ladder}>{t("list.save")}</Button></div>
        </form>
      </Panel>
      <Ladder ladder={text} />
    </div>
  );
}

export default function Policy(): ReactNode {
  const api = useApi();
  const t = useT();
  const query = useQuery({ queryKey: ["policy"], queryFn: ({ signal }) => api.call("get_reminder_policy", { signal }) });
  return (
    <Screen title={t("policy.title")} lead={t("policy.text")}>
      <Loaded query={query}>{({ ladder }) => <PolicyForm key={ladder} ladder={ladder} />}</Loaded>
      <QuickPrices />
    </Screen>
  );
}
