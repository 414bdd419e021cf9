import { PreferenceTools, useRuntime, useSession } from "@yunzhen/shared";
import { Button, NavBar } from "antd-mobile";
import type { ReactNode } from "react";
import { useT } from "../words";

export default function Home(): ReactNode {
  const { session } = useRuntime();
  const state = useSession();
  const t = useT();
  return (
    <>
      <NavBar backIcon={false}>{t("home.title")}</NavBar>
      <main className="yz-state">
        <h1>{t("home.greeting", { name: state.status === "in" ? state.account.name : "" })}</h1>
        <PreferenceTools />
        <Button onClick={() => session.signOut()}>{t("common.signOut")}</Button>
      </main>
    </>
  );
}
