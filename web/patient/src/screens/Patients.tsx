import type { ReactNode } from "react";
import { Link } from "react-router";
import { MOST_PATIENTS, usePatients } from "../queries";
import { Avatar, Blank, Tag } from "../ui/bits";
import { Icon } from "../ui/Icon";
import { Page } from "../ui/Page";
import { Loaded } from "../ui/Trouble";
import { useT } from "../words";

export default function Patients(): ReactNode {
  const t = useT();
  const query = usePatients();
  const full = (query.data?.length ?? 0) >= MOST_PATIENTS;
  const add = full
    ? <p className="p-footer__note">{t("patients.full", { most: MOST_PATIENTS })}</p>
    : <Link className="yz-button yz-button--block p-button--link" to="/patients/new">{t("patients.add")}</Link>;
  return (
    <Page title={t("patients.title")} up="/me" footer={add}>
      <Loaded query={query}>
        {(patients) => patients.length === 0 ? <Blank icon="family" title={t("patients.none")} text={t("patients.none.text")} /> : (
          <ul className="p-list p-list--tight">
            {patients.map((patient) => (
              <li key={patient.id}>
                <Link className="p-card p-strip" to={`/patients/${patient.id}`}>
                  <Avatar name={patient.name} />
                  <p>
                    <strong>{patient.name} {patient.default && <Tag kind="good">{t("patients.default")}</Tag>}</strong>
                    <small>{t(`sex.${patient.sex}`)}{patient.birth_date !== null && ` · ${patient.birth_date}`}{patient.guardian !== null && ` · ${t("patients.guardian", { name: patient.guardian.name })}`}</small>
                    <small>{t(`id.${patient.id_type}`)} {patient.id_number}</small>
                  </p>
                  <Icon name="forward" />
                </Link>
              </li>
            ))}
          </ul>
        )}
      </Loaded>
    </Page>
  );
}
