import type { ReactNode } from "react";
import { Link } from "react-router";
import { Blank } from "../ui/bits";
import { Page } from "../ui/Page";
import { useT } from "../words";

export default function Lost(): ReactNode {
  const t = useT();
  return (
    <Page title={t("lost.title")}>
      <Blank icon="search" title={t("lost.title")} text={t("lost.text")}><Link className="yz-button p-button--link" to="/">{t("lost.home")}</Link></Blank>
    </Page>
  );
}
