import { Loaded, type Models, format, useApi, usePreferences, useRuntime } from "@yunzhen/shared";
import { useMutation, useQuery } from "@tanstack/react-query";
import { type ReactNode, useId, useState } from "react";
import type { Order } from "../rules/orders";
import { Blank } from "../ui/Blank";
import { Modal } from "../ui/Modal";
import { useToasts } from "../ui/Toast";
import { useT } from "../words";

const MOST_LETTERS = 2_000;

/** What colleagues tell one another about an order; no patient meets it. Written once, never changed. */
export function Notes({ order, onClose }: { order: Order; onClose: () => void }): ReactNode {
  const t = useT();
  const id = useId();
  const api = useApi();
  const { queries } = useRuntime();
  const { sorry } = useToasts();
  const [text, setText] = useState("");
  const key = ["notes", order.id];
  const notes = useQuery({ queryKey: key, queryFn: ({ signal }) => api.call("list_notes", { path: { order_id: order.id }, query: { limit: 50 }, signal }), refetchInterval: 10_000 });
  const add = useMutation({
    mutationFn: (words: string) => api.call("add_note", { path: { order_id: order.id }, body: { text: words } }),
    onSuccess: () => setText(""),
    onError: sorry,
    onSettled: () => queries.invalidateQueries({ queryKey: key }),
  });
  return (
    <Modal
      title={t("notes.title")} onClose={onClose}
      actions={<button type="button" className="yz-button" disabled={text.trim() === "" || add.isPending} onClick={() => add.mutate(text.trim())}>{t("notes.add")}</button>}
    >
      <p className="yz-field__hint">{t("notes.hint")}</p>
      <Loaded query={notes}>
        {({ items }) => items.length === 0 ? <Blank sign="note" title={t("notes.empty")} /> : (
          <ul className="dr-quick">{items.map((note) => <li key={note.note_id}><NoteView note={note} /></li>)}</ul>
        )}
      </Loaded>
      <label className="yz-field__label" htmlFor={id}>{t("notes.write")}</label>
      <textarea id={id} className="dr-area" rows={3} maxLength={MOST_LETTERS} value={text} onChange={(event) => setText(event.target.value)} />
    </Modal>
  );
}

function NoteView({ note }: { note: Models["NoteOut"] }): ReactNode {
  const { language } = usePreferences();
  return (
    <article className="dr-note">
      <p>{note.text}</p>
      <small>{note.author.name ?? ""} · <time dateTime={note.created_at}>{format.when(note.created_at, language)}</time></small>
    </article>
  );
}
