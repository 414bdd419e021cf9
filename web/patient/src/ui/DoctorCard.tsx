import { format } from "@yunzhen/shared";
import type { ReactNode } from "react";
import { Link } from "react-router";
import type { Doctor } from "../queries";
import { useT } from "../words";
import { Avatar, Stars, Tag } from "./bits";

export function DoctorCard({ doctor }: { doctor: Doctor }): ReactNode {
  const t = useT();
  return (
    <li className="p-card p-doctor">
      <Link className="p-doctor__link" to={`/doctors/${doctor.id}`}>
        <Avatar name={doctor.name} />
        <span className="p-doctor__words">
          <span className="p-doctor__name">{doctor.name}<small>{doctor.title}</small></span>
          <span className="p-doctor__department">{doctor.department}</span>
          <span className="p-doctor__good">{t("doctor.goodAt.short", { text: doctor.good_at })}</span>
          <span className="p-doctor__facts">
            {doctor.stars !== null && <Stars value={doctor.stars} words={t("doctor.stars.words", { stars: doctor.stars.toFixed(1) })} />}
            {doctor.replied_rate !== null && <span>{t("doctor.replied", { percent: Math.round(doctor.replied_rate * 100) })}</span>}
            {doctor.stars === null && doctor.replied_rate === null && <span>{t("doctor.new")}</span>}
          </span>
        </span>
        <span className="p-doctor__side">
          <strong className="p-price">{format.yuan(doctor.fee_fen)}</strong>
          <Tag kind={doctor.accepting ? "good" : "quiet"}>{t(doctor.accepting ? "doctor.accepting" : "doctor.resting")}</Tag>
        </span>
      </Link>
    </li>
  );
}
