import { PreferenceTools, useRuntime, useSession } from "@yunzhen/shared";
import { Button, Card } from "antd";
import type { ReactNode } from "react";
import { useT } from "../words";

export default function Home(): ReactNode {
  const { session } = useRuntime();
  const state = useSession();
  const t = useT();
  return (
    <main className="yz-state">
      <Card title={t("home.title")}>
        <h1>{t("home.greeting", { name: state.status === "in" ? state.account.name : "" })}</h1>
        <PreferenceTools />
        <Button onClick={() => session.signOut()}>{t("common.signOut")}</Button>
      </Card>
    </main>
  );
}
