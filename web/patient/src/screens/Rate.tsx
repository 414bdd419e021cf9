import { RequestKey, useApi, useExplain } from "@yunzhen/shared";
import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useId, useState } from "react";
import { Navigate, useNavigate, useParams } from "react-router";
import { mayRate } from "../orders/state";
import { type Order, useOrder } from "../queries";
import { Avatar, Card } from "../ui/bits";
import { Icon } from "../ui/Icon";
import { Page } from "../ui/Page";
import { Loaded } from "../ui/Trouble";
import { useToast } from "../ui/toast";
import { type Key, useT } from "../words";

const TAGS: readonly Key[] = ["rate.tag.patient", "rate.tag.clear", "rate.tag.quick", "rate.tag.useful", "rate.tag.kind", "rate.tag.slow"];

export default function Rate(): ReactNode {
  const { id = "" } = useParams();
  const t = useT();
  const query = useOrder(id);
  return (
    <Page title={t("rate.title")} up={`/orders/${id}`}>
      <Loaded query={query}>{(order) => (mayRate(order) ? <Form order={order} /> : <Navigate to={`/orders/${id}`} replace />)}</Loaded>
    </Page>
  );
}

function Form({ order }: { order: Order }): ReactNode {
  const t = useT();
  const api = useApi();
  const explain = useExplain();
  const tell = useToast();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const id = useId();
  const [key] = useState(() => new RequestKey());
  const [stars, setStars] = useState(0);
  const [tags, setTags] = useState<readonly Key[]>([]);
  const [text, setText] = useState("");
  const [failure, setFailure] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const send = async (): Promise<void> => {
    setBusy(true);
    try {
      const body = { stars, tags: tags.map((each) => t(each)), text: text.trim() };
      const rated = await api.call("rate_order", { path: { order_id: order.id }, body, idempotencyKey: key.current });
      tell(t("rate.done"));
      await navigate(`/orders/${order.id}`, { replace: true });
      queries.setQueryData(["order", order.id], rated);
      void queries.invalidateQueries({ queryKey: ["orders"] });
    } catch (error) {
      key.failed(error);
      setFailure(explain(error));
      setBusy(false);
    }
  };
  return (
    <>
      <Card className="p-about">
        <Avatar name={order.doctor.name} large />
        <p className="p-about__name">{order.doctor.name}</p>
        <p className="p-about__title">{order.doctor.title} · {order.doctor.department}</p>
        <fieldset className="p-rate">
          <legend>{t("rate.question")}</legend>
          {[1, 2, 3, 4, 5].map((n) => (
            <label key={n} className={n <= stars ? "p-rate__star p-rate__star--on" : "p-rate__star"}>
              <input type="radio" name="stars" value={n} checked={n === stars} onChange={() => setStars(n)} />
              <Icon name="star" filled={n <= stars} /><span className="yz-hidden">{t("rate.stars", { count: n })}</span>
            </label>
          ))}
        </fieldset>
        <p className="p-rate__word" aria-live="polite">{stars > 0 ? t(`rate.word.${stars as 1 | 2 | 3 | 4 | 5}`) : t("rate.choose")}</p>
      </Card>
      <Card>
        <div className="p-tags" role="group" aria-label={t("rate.tags")}>
          {TAGS.map((each) => (
            <button key={each} type="button" className="p-chip" aria-pressed={tags.includes(each)} onClick={() => setTags(tags.includes(each) ? tags.filter((tag) => tag !== each) : [...tags, each])}>
              {t(each)}
            </button>
          ))}
        </div>
        <label className="yz-field__label" htmlFor={id}>{t("rate.text")}</label>
        <textarea id={id} className="p-textarea" rows={4} maxLength={500} value={text} placeholder={t("rate.placeholder")} onChange={(event) => setText(event.target.value)} />
      </Card>
      <footer className="p-footer">
        {failure !== null && <p className="yz-notice yz-notice--bad" role="alert">{failure}</p>}
        <button type="button" className="yz-button yz-button--block" disabled={busy || stars === 0} onClick={() => void send()}>{t("rate.submit")}</button>
      </footer>
    </>
  );
}
