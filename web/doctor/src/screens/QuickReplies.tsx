import { type Models, Loaded, useRuntime } from "@yunzhen/shared";
import { useMutation, useQuery } from "@tanstack/react-query";
import { type ReactNode, useId, useState } from "react";
import { useQuickReplies } from "../data/desk";
import { type Order, filled } from "../rules/orders";
import { Blank } from "../ui/Blank";
import { Modal } from "../ui/Modal";
import { useToasts } from "../ui/Toast";
import { useT } from "../words";

type Quick = Models["QuickReplyOut"];
const MOST_LETTERS = 1_000;

/** Sentences at hand: pick one into what is being written. */
export function QuickReplies({ order, onPick, onClose }: { order: Order; onPick: (text: string) => void; onClose: () => void }): ReactNode {
  const t = useT();
  const replies = useQuickReplies();
  const [search, setSearch] = useState("");
  const [managing, setManaging] = useState(false);
  const [kept, setKept] = useState(false);
  const pick = (text: string): void => {
    onPick(text);
    onClose();
  };
  return (
    <Modal
      title={t("quick.title")} onClose={onClose}
      actions={kept ? undefined : <button type="button" className="yz-button yz-button--quiet" onClick={() => setManaging(!managing)}>{t(managing ? "common.done" : "quick.manage")}</button>}
    >
      <div className="dr-segments" role="group" aria-label={t("quick.title")}>
        <button type="button" aria-pressed={!kept} onClick={() => setKept(false)}>{t("quick.sentences")}</button>
        <button type="button" aria-pressed={kept} onClick={() => setKept(true)}>{t("quick.favourites")}</button>
      </div>
      {kept ? <Favourites onPick={pick} /> : <Loaded query={replies}>
        {({ items }) => {
          if (managing) return <ManageQuick items={items} />;
          const found = items.filter((each) => each.text.toLowerCase().includes(search.trim().toLowerCase()));
          return (
            <>
              {items.length > 5 && <input className="yz-field__input dr-search" type="search" value={search} aria-label={t("quick.search")} placeholder={t("quick.search")} onChange={(event) => setSearch(event.target.value)} />}
              {items.length === 0 && <Blank sign="flash" title={t("quick.empty")} hint={t("quick.empty.hint")}><button type="button" className="yz-button" onClick={() => setManaging(true)}>{t("quick.add")}</button></Blank>}
              {items.length > 0 && found.length === 0 && <p className="dr-quiet">{t("quick.none")}</p>}
              <ul className="dr-quick">
                {found.map((each) => (
                  <li key={each.id}>
                    <button type="button" onClick={() => pick(filled(each.text, order))}>
                      {filled(each.text, order)}{each.scope === "department" && <span className="dr-chip">{t("quick.department")}</span>}
                    </button>
                  </li>
                ))}
              </ul>
            </>
          );
        }}
      </Loaded>}
    </Modal>
  );
}

/** Messages kept at hand, as they stand now: what was taken back since, or may not be seen any more, is not offered. */
function Favourites({ onPick }: { onPick: (text: string) => void }): ReactNode {
  const t = useT();
  const { api, queries } = useRuntime();
  const { sorry } = useToasts();
  const key = ["desk", "favourites"];
  const kept = useQuery({ queryKey: key, queryFn: ({ signal }) => api.call("list_favourites", { query: { limit: 100 }, signal }) });
  const remove = useMutation({
    mutationFn: (id: string) => api.call("remove_favourite", { path: { favourite_id: id } }),
    onError: sorry,
    onSettled: () => queries.invalidateQueries({ queryKey: key }),
  });
  const text = (each: Models["FavouriteOut"]): string => each.message?.parts.flatMap((part) => (part.text === null ? [] : [part.text])).join("\n") ?? "";
  return (
    <Loaded query={kept}>
      {({ items }) => items.length === 0 ? <Blank sign="star" title={t("favourites.empty")} hint={t("favourites.empty.hint")} /> : (
        <ul className="dr-quick dr-quick--kept">
          {items.map((each) => (
            <li key={each.id}>
              {text(each) === "" ? <p className="dr-quiet">{t("favourites.gone")}</p> : <button type="button" onClick={() => onPick(text(each))}>{text(each)}</button>}
              <button type="button" className="yz-link dr-link--bad" disabled={remove.isPending} onClick={() => remove.mutate(each.id)}>{t("chat.remove")}</button>
            </li>
          ))}
        </ul>
      )}
    </Loaded>
  );
}

/** Add, change, delete; in the settings too. */
export function ManageQuick({ items }: { items: readonly Quick[] }): ReactNode {
  const t = useT();
  const { api, queries } = useRuntime();
  const { sorry } = useToasts();
  const [editing, setEditing] = useState<Quick | "new" | null>(null);
  const again = (): Promise<void> => queries.invalidateQueries({ queryKey: ["desk", "quick-replies"] });
  const remove = useMutation({ mutationFn: (id: string) => api.call("delete_quick_reply", { path: { reply_id: id } }), onError: sorry, onSettled: again });
  const save = useMutation({
    mutationFn: (text: string) => editing === "new" || editing === null
      ? api.call("add_quick_reply", { body: { text } })
      : api.call("change_quick_reply", { path: { reply_id: editing.id }, body: { text } }),
    onSuccess: () => setEditing(null),
    onError: sorry,
    onSettled: again,
  });
  const form = <QuickForm text={editing === null || editing === "new" ? "" : editing.text} busy={save.isPending} onSave={(text) => save.mutate(text)} onCancel={() => setEditing(null)} />;
  return (
    <>
      <ul className="dr-quick dr-quick--manage">
        {items.map((each) => (
          <li key={each.id}>
            {editing !== "new" && editing?.id === each.id ? form : (
              each.scope === "department" ? <p>{each.text} <span className="dr-chip">{t("quick.department")}</span></p> : <>
                <p>{each.text}</p>
                <button type="button" className="yz-link" onClick={() => setEditing(each)}>{t("quick.edit")}</button>
                <button type="button" className="yz-link dr-link--bad" disabled={remove.isPending} onClick={() => remove.mutate(each.id)}>{t("quick.delete")}</button>
              </>
            )}
          </li>
        ))}
      </ul>
      {editing === "new" ? form : <button type="button" className="yz-button yz-button--quiet" onClick={() => setEditing("new")}>{t("quick.add")}</button>}
    </>
  );
}

interface FormProps {
  text: string;
  busy: boolean;
  onSave: (text: string) => void;
  onCancel: () => void;
}

function QuickForm({ text: before, busy, onSave, onCancel }: FormProps): ReactNode {
  const t = useT();
  const id = useId();
  const [text, setText] = useState(before);
  return (
    <form className="dr-quick__form" onSubmit={(event) => { event.preventDefault(); if (text.trim() !== "") onSave(text.trim()); }}>
      <label className="yz-field__label" htmlFor={id}>{t("quick.text")}</label>
      <textarea id={id} className="dr-area" rows={3} maxLength={MOST_LETTERS} value={text} onChange={(event) => setText(event.target.value)} />
      <p className="yz-field__hint">{t("quick.hint")}</p>
      <div className="dr-row">
        <button type="button" className="yz-button yz-button--quiet" onClick={onCancel}>{t("common.cancel")}</button>
        <button type="submit" className="yz-button" disabled={busy || text.trim() === ""}>{t("quick.save")}</button>
      </div>
    </form>
  );
}
