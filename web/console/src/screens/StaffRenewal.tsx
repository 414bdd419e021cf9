/** Letting a member in again who lost the phone: one asks, somebody of the other office agrees, then the first gives new credentials. */
import { type Models, newKey, useApi } from "@yunzhen/shared";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Alert, Button, Input, Modal } from "antd";
import { type ReactNode, useState } from "react";
import { keeperOf, otherOffice } from "../rules/areas";
import { FormRow } from "../ui/Form";
import { Problem, When, useTell } from "../ui/parts";
import { useT } from "../words";

type Member = Models["StaffAnswer"];
export type Renewal = NonNullable<Member["renewal"]>;

interface Props {
  member: Member;
  onClose: () => void;
}

/** Ask; what asked before is replaced. */
export function AskRenewal({ member, onClose }: Props): ReactNode {
  const api = useApi();
  const t = useT();
  const tell = useTell();
  const queries = useQueryClient();
  const [key] = useState(newKey);
  const ask = useMutation({
    mutationFn: () => api.call("ask_staff_renewal", { path: { account_id: member.account_id }, idempotencyKey: key }),
    onSuccess: () => {
      tell.done("staff.renewal.asked");
      onClose();
    },
    onSettled: () => void queries.invalidateQueries({ queryKey: ["staff"] }),
  });
  const second = t(`role.${otherOffice(keeperOf(member.roles))}`);
  return (
    <Modal
      title={t("staff.renewal.ask.title", { name: member.name })} open onCancel={onClose} onOk={() => ask.mutate()} confirmLoading={ask.isPending}
      okText={t("staff.renewal.ask")} cancelText={t("common.cancel")}
    >
      <div className="c-form">
        <ol className="c-steps">
          <li>{t("staff.renewal.step.ask", { name: member.name })}</li>
          <li>{t("staff.renewal.step.agree", { second })}</li>
          <li>{t("staff.renewal.step.renew", { name: member.name })}</li>
        </ol>
        <p className="c-muted">{t("staff.renewal.why")}</p>
        {member.renewal !== null && <Alert type="info" showIcon title={t("staff.renewal.replaces")} />}
        {ask.isError && <Problem error={ask.error} />}
      </div>
    </Modal>
  );
}

/** The second person's answer; an agreement can be taken back until it is used. */
export function AnswerRenewal({ member, renewal, asker, onClose }: Props & { renewal: Renewal; asker: ReactNode }): ReactNode {
  const api = useApi();
  const t = useT();
  const tell = useTell();
  const queries = useQueryClient();
  const [key] = useState(newKey);
  const decide = useMutation({
    mutationFn: (agrees: boolean) => api.call("decide_staff_renewal", {
      path: { account_id: member.account_id, renewal_id: renewal.renewal_id }, body: { agrees }, idempotencyKey: `${key}${agrees ? "1" : "0"}`,
    }),
    onSuccess: ({ renewal: left }) => {
      tell.done(left === null ? "staff.renewal.refused" : "staff.renewal.agreed");
      onClose();
    },
    onSettled: () => void queries.invalidateQueries({ queryKey: ["staff"] }),
  });
  const agreed = renewal.agreed_at !== null;
  return (
    <Modal
      title={t("staff.renewal.answer.title", { name: member.name })} open onCancel={onClose}
      footer={[
        <Button key="no" danger={agreed} loading={decide.isPending} onClick={() => decide.mutate(false)}>{t(agreed ? "staff.renewal.withdraw" : "reveal.refuse")}</Button>,
        ...(agreed ? [] : [<Button key="yes" type="primary" loading={decide.isPending} onClick={() => decide.mutate(true)}>{t("reveal.agree")}</Button>]),
      ]}
    >
      <div className="c-form">
        <p>{t("staff.renewal.by")} {asker} · <When at={renewal.asked_at} /></p>
        <Alert type="warning" showIcon title={t("staff.renewal.check", { name: member.name })} />
        {decide.isError && <Problem error={decide.error} />}
      </div>
    </Modal>
  );
}

export function Renew({ member, onDone, onClose }: Props & { onDone: (told: Models["NewStaffAnswer"]) => void }): ReactNode {
  const api = useApi();
  const t = useT();
  const queries = useQueryClient();
  const [key] = useState(newKey);
  const [password, setPassword] = useState("");
  const renew = useMutation({
    mutationFn: () => api.call("renew_staff_credentials", { path: { account_id: member.account_id }, body: { password }, idempotencyKey: key }),
    onSuccess: onDone,
    onSettled: () => void queries.invalidateQueries({ queryKey: ["staff"] }),
  });
  return (
    <Modal
      title={t("staff.renew.title", { name: member.name })} open onCancel={onClose} onOk={() => renew.mutate()} confirmLoading={renew.isPending}
      okText={t("staff.renew")} okButtonProps={{ disabled: password.length < 8 }} cancelText={t("common.cancel")}
    >
      <div className="c-form">
        <Alert type="warning" showIcon title={t("staff.renew.text")} />
        <FormRow label={t("staff.password.new")} hint={t("staff.password.hint")}>
          <Input.Password value={password} autoComplete="new-password" maxLength={128} onChange={(event) => setPassword(event.target.value)} />
        </FormRow>
        {renew.isError && <Problem error={renew.error} />}
      </div>
    </Modal>
  );
}
