import type { ReactNode } from "react";
import type { Translate } from "../i18n";
import { usePreferences, useTranslate } from "../react/context";
import type { Message } from "../socket/conversation";
import type { OutboxItem } from "../socket/outbox";
import { Icon, type IconName } from "./icons";

export type CardPart = Extract<Message["parts"][number] | OutboxItem["parts"][number], { kind: "card" }>;

/** What can be done about a card, such as a button; null where nothing can. */
export type CardAction = (card: CardPart) => ReactNode;

interface Face {
  icon: IconName;
  title: string;
  lines: readonly string[];
}

/** A card in the form of its kind: a sign, what it is, what it says, what can be done. */
export function CardView({ card, action }: { card: CardPart; action?: CardAction | undefined }): ReactNode {
  const t = useTranslate();
  const { language } = usePreferences();
  const face = faceOf(card, t, language);
  if (face === null) return <p className="yz-bubble__unknown">{t("chat.unknown")}</p>;
  return (
    <section className="yz-card" data-card={card.card} aria-label={face.title}>
      <span className="yz-card__sign"><Icon name={face.icon} /></span>
      <div className="yz-card__words">
        <strong>{face.title}</strong>
        {face.lines.map((line) => <p key={line}>{line}</p>)}
      </div>
      {action?.(card)}
    </section>
  );
}

function faceOf({ card, data }: CardPart, t: Translate, language: string): Face | null {
  const given: Readonly<Record<string, unknown>> = data;
  const text = (name: string): string => (typeof given[name] === "string" ? given[name] : "");
  switch (card) {
    case "record_shared":
      return { icon: "record", title: t("chat.card.record"), lines: [] };
    case "booking": {
      const day = new Date(`${text("date")}T00:00:00`);
      const date = Number.isNaN(day.getTime()) ? text("date") : day.toLocaleDateString(language, { year: "numeric", month: "long", day: "numeric", weekday: "short" });
      const period = (["morning", "afternoon", "evening"] as const).find((each) => each === given["period"]);
      const when = [date, period === undefined ? "" : t(`chat.card.${period}`)].filter((each) => each !== "").join(" ");
      return { icon: "calendar", title: t("chat.card.booking"), lines: [text("department"), when, text("note")].filter((each) => each !== "") };
    }
    case "gift":
      return { icon: "gift", title: t("chat.gift", { count: Number(given["count"] ?? 1) }), lines: [t("chat.gift.free")] };
    case "rating":
      return { icon: "star", title: t("chat.card.rating"), lines: [t("chat.card.rating.text")] };
    default:
      return null;
  }
}
