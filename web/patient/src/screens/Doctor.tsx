import { format } from "@yunzhen/shared";
import type { ReactNode } from "react";
import { Link, useParams } from "react-router";
import { type Doctor as DoctorModel, useDoctor } from "../queries";
import { Avatar, Card, Tag } from "../ui/bits";
import { Icon, type IconName } from "../ui/Icon";
import { Page } from "../ui/Page";
import { Loaded } from "../ui/Trouble";
import { type Key, useT } from "../words";

const PROMISES: readonly (readonly [IconName, Key])[] = [
  ["chat", "doctor.promise.replies"], ["clock", "doctor.promise.refund"], ["shield", "doctor.promise.private"],
];

export default function Doctor(): ReactNode {
  const { id = "" } = useParams();
  const t = useT();
  const query = useDoctor(id);
  return (
    <Page title={query.data?.name ?? t("doctor.title")} up="/doctors" footer={query.data && <Ask doctor={query.data} />}>
      <Loaded query={query}>{(doctor) => <About doctor={doctor} />}</Loaded>
    </Page>
  );
}

function About({ doctor }: { doctor: DoctorModel }): ReactNode {
  const t = useT();
  const percent = doctor.replied_rate === null ? null : Math.round(doctor.replied_rate * 100);
  return (
    <>
      <Card className="p-about">
        <Avatar name={doctor.name} large />
        <p className="p-about__name">{doctor.name}</p>
        <p className="p-about__title">{doctor.title} · {doctor.department}</p>
        <Tag kind={doctor.accepting ? "good" : "quiet"}>{t(doctor.accepting ? "doctor.accepting" : "doctor.resting")}</Tag>
        <dl className="p-figures">
          <Figure label={t("doctor.stars")} value={doctor.stars === null ? "—" : doctor.stars.toFixed(1)} />
          <Figure label={t("doctor.rate")} value={percent === null ? "—" : `${percent}%`} />
          <Figure label={t("doctor.median")} value={doctor.median_reply_minutes === null ? "—" : minutes(doctor.median_reply_minutes, t)} />
        </dl>
      </Card>
      <Card>
        <h2 className="p-h3">{t("doctor.goodAt")}</h2>
        <p>{doctor.good_at}</p>
      </Card>
      <Card>
        <h2 className="p-h3">{t("doctor.how")}</h2>
        <ul className="p-promises">
          {PROMISES.map(([icon, key]) => <li key={key}><Icon name={icon} /><span>{t(key)}</span></li>)}
        </ul>
      </Card>
    </>
  );
}

function minutes(value: number, t: ReturnType<typeof useT>): string {
  return value < 60 ? t("time.minutes", { count: Math.max(1, value) }) : t("time.hours", { count: Math.round(value / 60) });
}

function Figure({ label, value }: { label: string; value: string }): ReactNode {
  return <div><dt>{label}</dt><dd>{value}</dd></div>;
}

function Ask({ doctor }: { doctor: DoctorModel }): ReactNode {
  const t = useT();
  if (!doctor.accepting) return <p className="p-footer__note">{t("doctor.resting.text")}</p>;
  return (
    <div className="p-ask">
      <p><small>{t("doctor.fee")}</small><strong className="p-price p-price--large">{format.yuan(doctor.fee_fen)}</strong></p>
      <Link className="yz-button p-button--link" to={`/doctors/${doctor.id}/order`}>{t("doctor.ask")}</Link>
    </div>
  );
}
