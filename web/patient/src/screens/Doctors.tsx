import { type ReactNode, useEffect, useState } from "react";
import { useSearchParams } from "react-router";
import { useDepartments, useDoctors } from "../queries";
import { Blank } from "../ui/bits";
import { DoctorCard } from "../ui/DoctorCard";
import { Icon } from "../ui/Icon";
import { Page } from "../ui/Page";
import { PagedList } from "../ui/paged";
import { useT } from "../words";

const PAUSE_MS = 250;

/** By name, pinyin or what they are good at; by department; only who accepts. The address holds it, so that the way back finds it again. */
export default function Doctors(): ReactNode {
  const t = useT();
  const [search, setSearch] = useSearchParams();
  const [typed, setTyped] = useState(search.get("q") ?? "");
  const departmentId = search.get("department");
  const accepting = search.get("accepting") !== "no";
  const q = search.get("q") ?? "";
  const departments = useDepartments();
  const query = useDoctors({ q, departmentId, accepting });
  const put = (name: string, value: string | null): void => {
    const next = new URLSearchParams(search);
    if (value === null) next.delete(name);
    else next.set(name, value);
    setSearch(next, { replace: true });
  };
  useEffect(() => {
    const timer = setTimeout(() => {
      if (typed.trim() !== q) put("q", typed.trim() || null);
    }, PAUSE_MS);
    return () => clearTimeout(timer);
  });
  const all = (): void => {
    setTyped("");
    setSearch({ accepting: "no" }, { replace: true });
  };
  const chosen = (id: string | null): "true" | undefined => (departmentId === id ? "true" : undefined);
  return (
    <Page title={t("doctors.title")}>
      <div className="p-search">
        <Icon name="search" />
        <input
          type="search" value={typed} aria-label={t("doctors.search")} placeholder={t("doctors.search")} maxLength={100} enterKeyHint="search"
          onChange={(event) => setTyped(event.target.value)}
        />
      </div>
      <div className="p-chips" role="group" aria-label={t("doctors.department")}>
        <button type="button" className="p-chip" aria-pressed={chosen(null) ?? "false"} onClick={() => put("department", null)}>{t("list.all")}</button>
        {(departments.data?.items ?? []).map(({ id, name }) => (
          <button key={id} type="button" className="p-chip" aria-pressed={chosen(id) ?? "false"} onClick={() => put("department", id)}>{name}</button>
        ))}
      </div>
      <label className="p-check p-check--line">
        <input type="checkbox" checked={accepting} onChange={(event) => put("accepting", event.target.checked ? null : "no")} />
        {t("doctors.onlyAccepting")}
      </label>
      <PagedList
        query={query}
        empty={
          <Blank icon="search" title={t("doctors.none")} text={t("doctors.none.text")}>
            <button type="button" className="yz-button yz-button--quiet" onClick={all}>{t("doctors.none.all")}</button>
          </Blank>
        }
      >
        {(doctor) => <DoctorCard key={doctor.id} doctor={doctor} />}
      </PagedList>
    </Page>
  );
}
