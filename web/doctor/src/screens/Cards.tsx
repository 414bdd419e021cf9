import { Icon } from "@yunzhen/shared/chat";
import { type ReactNode, useId, useState } from "react";
import type { Card } from "../data/attached";
import type { Order } from "../rules/orders";
import { PERIODS, type Period, dayOf } from "../rules/cards";
import { Modal } from "../ui/Modal";
import { Sign } from "../ui/Sign";
import { useT } from "../words";

const MOST_DEPARTMENT = 40;
const MOST_NOTE = 200;
const LATEST_DAYS = 365; // as the server takes them

/** What goes along, each to be taken out again. */
export function CardChips({ cards, onRemove }: { cards: readonly Card[]; onRemove: (card: Card) => void }): ReactNode {
  const t = useT();
  if (cards.length === 0) return null;
  return (
    <ul className="dr-cardchips" aria-label={t("cards.along")}>
      {cards.map((card) => (
        <li key={`${card.part.card} ${JSON.stringify(card.part.data)}`}>
          <Sign name={card.part.card === "booking" ? "calendar" : "record"} />
          <span>{card.title}</span>
          <button type="button" className="yz-tool" aria-label={`${t("chat.remove")}: ${card.title}`} onClick={() => onRemove(card)}><Icon name="close" /></button>
        </li>
      ))}
    </ul>
  );
}

/** Ask the patient to come to the hospital: where, when, what to bring. */
export function BookingDialog({ order, onAdd, onClose }: { order: Order; onAdd: (card: Card) => void; onClose: () => void }): ReactNode {
  const t = useT();
  const id = useId();
  const [department, setDepartment] = useState(order.doctor.department);
  const [[today, tomorrow, latest]] = useState(() => [dayOf(new Date()), dayOf(new Date(), 1), dayOf(new Date(), LATEST_DAYS)] as const);
  const [date, setDate] = useState<string>(tomorrow);
  const [period, setPeriod] = useState<Period>("morning");
  const [note, setNote] = useState("");
  const ready = department.trim() !== "" && date >= today && date <= latest;
  const add = (): void => {
    const data = { department: department.trim(), date, period, ...(note.trim() === "" ? {} : { note: note.trim() }) };
    onAdd({ part: { kind: "card", card: "booking", data }, title: t("cards.booking.title", { department: data.department, date, period: t(`cards.${period}`) }) });
    onClose();
  };
  return (
    <Modal title={t("cards.booking")} onClose={onClose} actions={<button type="button" className="yz-button" disabled={!ready} onClick={add}>{t("cards.add")}</button>}>
      <p className="yz-field__hint">{t("cards.booking.hint")}</p>
      <label className="yz-field__label" htmlFor={`${id}-department`}>{t("quick.department")}</label>
      <input id={`${id}-department`} className="yz-field__input" value={department} maxLength={MOST_DEPARTMENT} onChange={(event) => setDepartment(event.target.value)} />
      <label className="yz-field__label" htmlFor={`${id}-date`}>{t("cards.date")}</label>
      <input id={`${id}-date`} className="yz-field__input" type="date" min={today} max={latest} value={date} onChange={(event) => setDate(event.target.value)} />
      <div className="dr-segments" role="group" aria-label={t("cards.period")}>
        {PERIODS.map((each) => <button key={each} type="button" aria-pressed={period === each} onClick={() => setPeriod(each)}>{t(`cards.${each}`)}</button>)}
      </div>
      <label className="yz-field__label" htmlFor={`${id}-note`}>{t("cards.note")}</label>
      <textarea id={`${id}-note`} className="dr-area" rows={2} maxLength={MOST_NOTE} value={note} placeholder={t("cards.note.placeholder")} onChange={(event) => setNote(event.target.value)} />
    </Modal>
  );
}
