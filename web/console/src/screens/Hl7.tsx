import { CheckCircleOutlined } from "@ant-design/icons";
import { Loaded, type Models, useApi } from "@yunzhen/shared";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { App, Button } from "antd";
import type { ReactNode } from "react";
import { Nothing, Panel, Screen, When, useTell } from "../ui/parts";
import { StaffTable } from "../ui/StaffTable";
import { useT } from "../words";

function Retry({ message: held }: { message: Models["Hl7MessageOut"] }): ReactNode {
  const api = useApi();
  const t = useT();
  const tell = useTell();
  const { message } = App.useApp();
  const queries = useQueryClient();
  const retry = useMutation({
    mutationFn: () => api.call("retry_hl7", { path: { message_id: held.message_id }, body: {} }),
    onSuccess: ({ accepted, reason }) => {
      if (accepted) tell.done("hl7.accepted");
      else void message.warning(t("hl7.refused", { reason }));
    },
    onError: tell.failed,
    onSettled: () => void queries.invalidateQueries({ queryKey: ["hl7"] }),
  });
  return <Button size="small" loading={retry.isPending} onClick={() => retry.mutate()}>{t("hl7.retry")}</Button>;
}

export default function Hl7(): ReactNode {
  const api = useApi();
  const t = useT();
  const query = useQuery({ queryKey: ["hl7"], queryFn: ({ signal }) => api.call("list_failed_hl7", { signal }), refetchInterval: 60_000 });
  return (
    <Screen title={t("hl7.title")} lead={t("hl7.text")}>
      <Panel flush>
        <Loaded query={query}>
          {({ items }) => items.length === 0 ? <Nothing title={t("hl7.none")} hint={t("hl7.none.hint")} icon={<CheckCircleOutlined />} /> : (
            <StaffTable
              name={t("hl7.title")} rows={items} rowKey="message_id"
              columns={[
                { title: t("hl7.received"), render: (held) => <When at={held.received_at} /> },
                { title: t("hl7.kind"), render: (held) => <code>{held.kind || "?"}</code> },
                { title: t("hl7.control"), render: (held) => <code>{held.control_id || "—"}</code> },
                { title: t("hl7.reason"), wrap: true, render: (held) => held.reason },
                { title: t("hl7.where"), render: (held) => <code>{held.where || "—"}</code> },
                { title: t("hl7.tries"), align: "end", render: (held) => held.tries },
                { title: t("list.actions"), render: (held) => <Retry message={held} /> },
              ]}
            />
          )}
        </Loaded>
      </Panel>
    </Screen>
  );
}
