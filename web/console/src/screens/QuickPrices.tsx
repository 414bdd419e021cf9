import { Loaded, useApi } from "@yunzhen/shared";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Button, Input } from "antd";
import { type ReactNode, type SubmitEvent, useState } from "react";
import { fenOf, yuanOf } from "../rules/money";
import { FormRow } from "../ui/Form";
import { Panel, Problem, useTell } from "../ui/parts";
import { useT } from "../words";

/** What the first free doctor of each department costs; without a price a department takes no quick consults. */
export function QuickPrices(): ReactNode {
  const api = useApi();
  const t = useT();
  const query = useQuery({ queryKey: ["departments"], queryFn: ({ signal }) => api.call("list_departments", { signal }) });
  return (
    <Panel title={t("quick.title")}>
      <p>{t("quick.text")}</p>
      <Loaded query={query}>{({ items }) => <>{items.map(({ id, name }) => <Price key={id} id={id} name={name} />)}</>}</Loaded>
    </Panel>
  );
}

function Price({ id, name }: { id: string; name: string }): ReactNode {
  const api = useApi();
  const query = useQuery({ queryKey: ["quick-price", id], queryFn: ({ signal }) => api.call("get_quick_price", { path: { department_id: id }, signal }) });
  return <Loaded query={query}>{({ fee_fen }) => <PriceForm key={fee_fen} id={id} name={name} feeFen={fee_fen} />}</Loaded>;
}

function PriceForm({ id, name, feeFen }: { id: string; name: string; feeFen: number | null }): ReactNode {
  const api = useApi();
  const t = useT();
  const tell = useTell();
  const queries = useQueryClient();
  const before = feeFen === null ? "" : yuanOf(feeFen);
  const [text, setText] = useState(before);
  const fee = text.trim() === "" ? null : fenOf(text);
  const wrong = text.trim() !== "" && fee === null;
  const save = useMutation({
    mutationFn: () => api.call("put_quick_price", { path: { department_id: id }, body: { fee_fen: fee } }),
    onSuccess: (price) => {
      queries.setQueryData(["quick-price", id], price);
      tell.done("quick.saved");
    },
  });
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    if (!wrong) save.mutate();
  };
  return (
    <form className="c-form" onSubmit={submit} noValidate>
      <FormRow label={name} error={wrong ? t("doctors.fee.invalid") : undefined}>
        <Input inputMode="decimal" prefix="¥" placeholder={t("quick.none")} value={text} onChange={(event) => setText(event.target.value)} />
      </FormRow>
      {save.isError && <Problem error={save.error} />}
      {text.trim() !== before && <div><Button type="primary" htmlType="submit" loading={save.isPending} disabled={wrong} aria-label={t("quick.save", { department: name })}>{t("list.save")}</Button></div>}
    </form>
  );
}
