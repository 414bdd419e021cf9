import { PreferenceTools, useRuntime, useSession } from "@yunzhen/shared";
import { type ReactNode, useState } from "react";
import { Avatar, ButtonRow, Card, LinkRow } from "../ui/bits";
import { Page } from "../ui/Page";
import { Confirm } from "../ui/Sheet";
import { useT } from "../words";

export default function Me(): ReactNode {
  const t = useT();
  const { session } = useRuntime();
  const state = useSession();
  const [leaving, setLeaving] = useState(false);
  const name = state.status === "in" && state.account.name !== "" ? state.account.name : t("me.nameless");
  const leave = (): void => void session.signOut().catch(() => undefined); // offline: this device forgets all the same
  return (
    <Page title={t("tab.me")} up={null}>
      <Card className="p-about p-about--me">
        <Avatar name={name} large />
        <p className="p-about__name">{name}</p>
      </Card>
      <Card className="p-rows">
        <LinkRow icon="family" to="/patients" title={t("patients.title")} note={t("patients.note")} />
        <LinkRow icon="chat" to="/orders" title={t("orders.title")} note={t("orders.note")} />
      </Card>
      <Card className="p-rows">
        <LinkRow icon="gear" to="/settings" title={t("common.settings")} note={t("settings.note")} />
        <LinkRow icon="phone" to="/devices" title={t("devices.title")} note={t("devices.note")} />
        <LinkRow icon="key" to="/password" title={t("password.title")} note={t("password.note")} />
      </Card>
      <PreferenceTools />
      <Card className="p-rows"><ButtonRow danger title={t("common.signOut")} onClick={() => setLeaving(true)} /></Card>
      {leaving && <Confirm danger title={t("common.signOut")} text={t("me.leave.text")} confirm={t("common.signOut")} onConfirm={leave} onClose={() => setLeaving(false)} />}
    </Page>
  );
}
