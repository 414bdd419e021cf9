import { PlusOutlined } from "@ant-design/icons";
import { Loaded, type Models, newKey, useApi } from "@yunzhen/shared";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Button, Checkbox, Drawer, Input, Modal, QRCode } from "antd";
import { type ReactNode, type SubmitEvent, useId, useState } from "react";
import { type StaffRole, givable, keeperOf, otherOffice, withRole } from "../rules/areas";
import { FormRow } from "../ui/Form";
import { usePages } from "../ui/list";
import { useMe, useRoles } from "../ui/me";
import { Badge, ListFoot, Nothing, Panel, Problem, Roles, Screen, ShortId, useTell } from "../ui/parts";
import { StaffTable } from "../ui/StaffTable";
import { useT } from "../words";
import { AnswerRenewal, AskRenewal, Renew } from "./StaffRenewal";

type Member = Models["StaffAnswer"];
type Told = Models["NewStaffAnswer"];
const USERNAME = /^[a-z0-9][a-z0-9._-]{1,63}$/;

function RolePicker({ offered, value, onChange }: { offered: readonly StaffRole[]; value: readonly StaffRole[]; onChange: (roles: StaffRole[]) => void }): ReactNode {
  const t = useT();
  const id = useId();
  return (
    <div className="c-form__row" role="group" aria-labelledby={id}>
      <span className="c-form__label" id={id}>{t("staff.roles")}</span>
      {offered.map((role) => (
        <Checkbox key={role} checked={value.includes(role)} onChange={(event) => onChange(withRole(value, role, event.target.checked))}>
          <span className="c-check">{t(`role.${role}`)}<span className="c-form__hint">{t(`staff.role.hint.${role}`)}</span></span>
        </Checkbox>
      ))}
    </div>
  );
}

function MemberForm({ member, onDone }: { member: Member | null; onDone: (told: Told | null) => void }): ReactNode {
  const api = useApi();
  const t = useT();
  const queries = useQueryClient();
  const [key, setKey] = useState(newKey);
  const [shown, setShown] = useState(false);
  const [values, setValues] = useState({ username: "", name: member?.name ?? "", password: "", roles: member?.roles ?? [] });
  const set = (part: Partial<typeof values>): void => {
    setValues({ ...values, ...part });
    setKey(newKey());
  };
  const { username, name, password, roles } = values;
  const save = useMutation({
    mutationFn: async (): Promise<Told | null> => {
      if (member === null) return api.call("add_staff", { body: { username, name, password, roles }, idempotencyKey: key });
      await api.call("change_staff", { path: { account_id: member.account_id }, body: { name, roles }, idempotencyKey: key });
      return null;
    },
    onSuccess: onDone,
    onSettled: () => void queries.invalidateQueries({ queryKey: ["staff"] }),
  });
  const good = name.trim() !== "" && roles.length > 0 && (member !== null || (USERNAME.test(username) && password.length >= 8));
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    setShown(true);
    if (good) save.mutate();
  };
  return (
    <form className="c-form" onSubmit={submit} noValidate autoComplete="off">
      {member === null && (
        <FormRow label={t("staff.username")} hint={t("staff.username.hint")} error={shown && !USERNAME.test(username) ? t("login.required") : undefined}>
          <Input value={username} autoCapitalize="none" autoComplete="off" maxLength={64} onChange={(event) => set({ username: event.target.value.trim().toLowerCase() })} />
        </FormRow>
      )}
      <FormRow label={t("staff.name")} error={shown && name.trim() === "" ? t("login.required") : undefined}>
        <Input value={name} maxLength={60} onChange={(event) => set({ name: event.target.value })} />
      </FormRow>
      {member === null && (
        <FormRow label={t("staff.password")} hint={t("staff.password.hint")} error={shown && password.length < 8 ? t("staff.password.hint") : undefined}>
          <Input.Password value={password} autoComplete="new-password" maxLength={128} onChange={(event) => set({ password: event.target.value })} />
        </FormRow>
      )}
      <RolePicker offered={givable(useRoles(), member?.roles ?? null)} value={roles} onChange={(chosen) => set({ roles: chosen })} />
      {shown && roles.length === 0 && <span className="c-form__error" role="alert">{t("login.required")}</span>}
      {save.isError && <Problem error={save.error} />}
      <Button type="primary" htmlType="submit" loading={save.isPending}>{t("list.save")}</Button>
    </form>
  );
}

/** The secret, once: for the member's authenticator. */
function Secret({ told, onClose }: { told: Told; onClose: () => void }): ReactNode {
  const t = useT();
  const address = `otpauth://totp/Yunzhen:${encodeURIComponent(told.username)}?secret=${told.totp_secret}&issuer=Yunzhen`;
  return (
    <Modal title={t("staff.secret.title", { name: told.name })} open closable={false} mask={{ closable: false }} keyboard={false} footer={<Button type="primary" onClick={onClose}>{t("staff.secret.done")}</Button>}>
      <div className="c-secret">
        <p>{t("staff.secret.text")}</p>
        <QRCode type="svg" value={address} size={220} color="#000000" bgColor="#ffffff" />
        <p>{t("staff.secret.key")}<br /><code>{told.totp_secret}</code></p>
      </div>
    </Modal>
  );
}

function Disable({ member, onClose }: { member: Member; onClose: () => void }): ReactNode {
  const api = useApi();
  const t = useT();
  const tell = useTell();
  const queries = useQueryClient();
  const disable = useMutation({
    mutationFn: () => api.call("disable_staff", { path: { account_id: member.account_id } }),
    onSuccess: () => {
      tell.done("staff.disabled");
      onClose();
    },
    onSettled: () => void queries.invalidateQueries({ queryKey: ["staff"] }),
  });
  return (
    <Modal
      title={t("staff.disable.title", { name: member.name })} open onCancel={onClose} onOk={() => disable.mutate()} confirmLoading={disable.isPending}
      okText={t("staff.disable")} okButtonProps={{ danger: true }} cancelText={t("common.cancel")}
    >
      <p>{t("staff.disable.text")}</p>
      {disable.isError && <Problem error={disable.error} />}
    </Modal>
  );
}

type Deed = "edit" | "ask" | "answer" | "renew" | "disable";
type Doing = { what: "add" } | { what: Deed; member: Member } | { what: "secret"; told: Told };

export default function Staff(): ReactNode {
  const api = useApi();
  const t = useT();
  const tell = useTell();
  const me = useMe().data;
  const [doing, setDoing] = useState<Doing | null>(null);
  const query = usePages(["staff"], (cursor, signal) => api.call("list_staff", { query: { cursor, limit: 50 }, signal }));
  const close = (): void => setDoing(null);
  const saved = (told: Told | null): void => {
    if (told === null) tell.done("staff.changed");
    setDoing(told === null ? null : { what: "secret", told });
  };
  const edited = doing?.what === "edit" ? doing.member : null;
  const buttons = (member: Member): ReactNode => {
    if (me === undefined || !member.active) return null;
    if (member.account_id === me.account_id) return <span className="c-muted">{t("staff.self")}</span>;
    const does = (what: Deed, text: string, type: "default" | "primary" = "default", danger = false): ReactNode => (
      <Button size="small" type={type} danger={danger} aria-label={`${text} ${member.name}`} onClick={() => setDoing({ what, member })}>{text}</Button>
    );
    const keeper = keeperOf(member.roles);
    const { renewal } = member;
    const isMine = renewal?.asked_by === me.account_id;
    return (
      <span className="c-tags">
        {renewal !== null && !isMine && me.roles.includes(otherOffice(keeper)) && does("answer", t("staff.renewal.answer"), "primary")}
        {me.roles.includes(keeper) && (
          <>
            {does("edit", t("list.edit"))}
            {isMine && renewal.agreed_at !== null ? does("renew", t("staff.renew.now"), "primary") : does("ask", t("staff.renew"))}
            {does("disable", t("staff.disable"), "default", true)}
          </>
        )}
      </span>
    );
  };
  const nameOf = (id: string): ReactNode => query.items?.find(({ account_id }) => account_id === id)?.name ?? <ShortId id={id} />;
  const state = (member: Member): ReactNode => (
    <span className="c-tags">
      <Badge tone={member.active ? "success" : "quiet"}>{t(member.active ? "staff.active" : "staff.inactive")}</Badge>
      {member.renewal !== null && <Badge tone="warning">{t(member.renewal.agreed_at === null ? "staff.renewal.state.asked" : "staff.renewal.state.agreed")}</Badge>}
    </span>
  );
  return (
    <Screen title={t("staff.title")} lead={t("staff.text")} actions={<Button type="primary" icon={<PlusOutlined />} onClick={() => setDoing({ what: "add" })}>{t("staff.add")}</Button>}>
      <Panel flush>
        <Loaded query={{ data: query.items, error: query.error, refetch: query.refetch }}>
          {(members) => members.length === 0 ? <Nothing title={t("staff.none")} /> : (
            <>
              <StaffTable
                name={t("staff.title")} rows={members} rowKey="account_id"
                columns={[
                  { title: t("staff.name"), render: (member) => <strong>{member.name}</strong> },
                  { title: t("staff.username"), render: (member) => member.username },
                  { title: t("staff.roles"), render: (member) => <Roles roles={member.roles} /> },
                  { title: t("staff.state"), render: state },
                  { title: t("list.actions"), render: buttons },
                ]}
              />
              <ListFoot count={members.length} query={query} />
            </>
          )}
        </Loaded>
      </Panel>
      <Drawer title={edited === null ? t("staff.add") : t("staff.edit", { name: edited.name })} open={doing?.what === "add" || edited !== null} onClose={close} size={460} destroyOnHidden>
        {(doing?.what === "add" || edited !== null) && <MemberForm key={edited?.account_id ?? "new"} member={edited} onDone={saved} />}
      </Drawer>
      {doing?.what === "ask" && <AskRenewal member={doing.member} onClose={close} />}
      {doing?.what === "answer" && doing.member.renewal !== null && (
        <AnswerRenewal member={doing.member} renewal={doing.member.renewal} asker={nameOf(doing.member.renewal.asked_by)} onClose={close} />
      )}
      {doing?.what === "renew" && <Renew member={doing.member} onDone={saved} onClose={close} />}
      {doing?.what === "disable" && <Disable member={doing.member} onClose={close} />}
      {doing?.what === "secret" && <Secret told={doing.told} onClose={close} />}
    </Screen>
  );
}
