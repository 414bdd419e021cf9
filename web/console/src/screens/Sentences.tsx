import { ArrowDownOutlined, ArrowUpOutlined, MessageOutlined, PlusOutlined } from "@ant-design/icons";
import { Loaded, type Models, newKey, useApi } from "@yunzhen/shared";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Button, Drawer, Input, Modal, Select } from "antd";
import { type ReactNode, type SubmitEvent, useEffect, useRef, useState } from "react";
import { PLACES, moved, piecesOf } from "../rules/sentences";
import { FormRow } from "../ui/Form";
import { Field, Nothing, Panel, Problem, Screen, useTell } from "../ui/parts";
import { useT } from "../words";

type Sentence = Models["QuickReplyOut"];
type Department = Models["DepartmentAnswer"];
const MOST = 200;
const MOST_LETTERS = 1_000;

/** A sentence with its places marked: what stands there is filled in where a doctor uses it. */
function Words({ text }: { text: string }): ReactNode {
  const t = useT();
  return (
    <span className="c-sentence__text">
      {piecesOf(text).map(({ place, text: words }, at) => (place === null ? words : <mark key={at}>{t(`sentence.place.${place}`)}</mark>))}
    </span>
  );
}

function SentenceForm({ department, sentence, onClose }: { department: Department; sentence: Sentence | null; onClose: () => void }): ReactNode {
  const api = useApi();
  const t = useT();
  const tell = useTell();
  const queries = useQueryClient();
  const [key, setKey] = useState(newKey);
  const [shown, setShown] = useState(false);
  const [text, setText] = useState(sentence?.text ?? "");
  const field = useRef<HTMLTextAreaElement>(null);
  const write = (words: string): void => {
    setText(words.slice(0, MOST_LETTERS));
    setKey(newKey());
  };
  const insert = (place: string): void => {
    const area = field.current;
    const [from, to] = area === null ? [text.length, text.length] : [area.selectionStart, area.selectionEnd];
    write(`${text.slice(0, from)}{${place}}${text.slice(to)}`);
    area?.focus();
  };
  const save = useMutation({
    mutationFn: () => sentence === null
      ? api.call("add_department_reply", { path: { department_id: department.id }, body: { text: text.trim() }, idempotencyKey: key })
      : api.call("change_department_reply", { path: { department_id: department.id, reply_id: sentence.id }, body: { text: text.trim() }, idempotencyKey: key }),
    onSuccess: () => {
      tell.done("sentence.saved");
      onClose();
    },
    onSettled: () => void queries.invalidateQueries({ queryKey: ["sentences", department.id] }),
  });
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    setShown(true);
    if (text.trim() !== "") save.mutate();
  };
  return (
    <form className="c-form" onSubmit={submit} noValidate>
      <FormRow label={t("sentence.text")} hint={t("sentence.hint")} error={shown && text.trim() === "" ? t("login.required") : undefined}>
        <Input.TextArea ref={(area) => { field.current = area?.resizableTextArea?.textArea ?? null; }} rows={5} maxLength={MOST_LETTERS} showCount value={text} onChange={(event) => write(event.target.value)} />
      </FormRow>
      <div className="c-form__row" role="group" aria-label={t("sentence.places")}>
        <span className="c-form__label">{t("sentence.places")}</span>
        <span className="c-tags">{PLACES.map((place) => <Button key={place} size="small" onClick={() => insert(place)}>{t(`sentence.place.${place}`)} <code>{`{${place}}`}</code></Button>)}</span>
      </div>
      <div className="c-form__row">
        <span className="c-form__label">{t("sentence.preview")}</span>
        <p className="c-story__words">
          {text.trim() === "" ? t("sentence.preview.none") : piecesOf(text).map(({ place, text: words }) => (place === null ? words : place === "department" ? department.name : t(`sentence.sample.${place}`))).join("")}
        </p>
      </div>
      {save.isError && <Problem error={save.error} />}
      <Button type="primary" htmlType="submit" loading={save.isPending}>{t("list.save")}</Button>
    </form>
  );
}

function Remove({ department, sentence, onClose }: { department: Department; sentence: Sentence; onClose: () => void }): ReactNode {
  const api = useApi();
  const t = useT();
  const tell = useTell();
  const queries = useQueryClient();
  const remove = useMutation({
    mutationFn: () => api.call("delete_department_reply", { path: { department_id: department.id, reply_id: sentence.id } }),
    onSuccess: () => {
      tell.done("sentence.removed");
      onClose();
    },
    onSettled: () => void queries.invalidateQueries({ queryKey: ["sentences", department.id] }),
  });
  return (
    <Modal
      title={t("sentence.remove.title")} open onCancel={onClose} onOk={() => remove.mutate()} confirmLoading={remove.isPending}
      okText={t("sentence.remove")} okButtonProps={{ danger: true }} cancelText={t("common.cancel")}
    >
      <p>{t("sentence.remove.text", { department: department.name })}</p>
      <p className="c-story__words"><Words text={sentence.text} /></p>
      {remove.isError && <Problem error={remove.error} />}
    </Modal>
  );
}

type Doing = { what: "add" } | { what: "edit" | "remove"; sentence: Sentence };

interface ListProps {
  department: Department;
  sentences: readonly Sentence[];
  onDo: (doing: Doing) => void;
}

/** In the order in which doctors see them; moved by a step, the button that was pressed keeps the focus. */
function List({ department, sentences, onDo }: ListProps): ReactNode {
  const api = useApi();
  const t = useT();
  const tell = useTell();
  const queries = useQueryClient();
  const list = useRef<HTMLOListElement>(null);
  const pressed = useRef<string | null>(null);
  const order = useMutation({
    mutationFn: (ids: string[]) => api.call("order_department_replies", { path: { department_id: department.id }, body: { ids } }),
    onSuccess: (found) => queries.setQueryData(["sentences", department.id], found),
    onError: (error) => {
      tell.failed(error);
      void queries.invalidateQueries({ queryKey: ["sentences", department.id] });
    },
  });
  useEffect(() => {
    if (pressed.current === null) return;
    list.current?.querySelector<HTMLElement>(`[data-moves="${pressed.current}"]`)?.focus();
    pressed.current = null;
  }, [sentences]);
  const step = (sentence: Sentence, by: 1 | -1): void => {
    const ids = moved(sentences.map(({ id }) => id), sentence.id, by);
    if (ids === null || order.isPending) return;
    pressed.current = `${sentence.id} ${String(by)}`;
    order.mutate(ids);
  };
  const mover = (sentence: Sentence, at: number, by: 1 | -1): ReactNode => (
    <Button
      size="small" icon={by < 0 ? <ArrowUpOutlined /> : <ArrowDownOutlined />} data-moves={`${sentence.id} ${String(by)}`} onClick={() => step(sentence, by)}
      aria-disabled={moved(sentences.map(({ id }) => id), sentence.id, by) === null} aria-label={t(by < 0 ? "sentence.up" : "sentence.down", { number: at + 1 })}
    />
  );
  return (
    <ol ref={list} className="c-list c-list--plain c-sentences">
      {sentences.map((sentence, at) => (
        <li key={sentence.id} className="c-sentence">
          <span className="c-sentence__number" aria-hidden="true">{at + 1}</span>
          <Words text={sentence.text} />
          <span className="c-tags">
            {mover(sentence, at, -1)}
            {mover(sentence, at, 1)}
            <Button size="small" aria-label={`${t("list.edit")} ${String(at + 1)}`} onClick={() => onDo({ what: "edit", sentence })}>{t("list.edit")}</Button>
            <Button size="small" danger aria-label={`${t("sentence.remove")} ${String(at + 1)}`} onClick={() => onDo({ what: "remove", sentence })}>{t("sentence.remove")}</Button>
          </span>
        </li>
      ))}
    </ol>
  );
}

function OfDepartment({ department, picker }: { department: Department; picker: ReactNode }): ReactNode {
  const api = useApi();
  const t = useT();
  const [doing, setDoing] = useState<Doing | null>(null);
  const query = useQuery({ queryKey: ["sentences", department.id], queryFn: ({ signal }) => api.call("list_department_replies", { path: { department_id: department.id }, signal }) });
  const close = (): void => setDoing(null);
  const edited = doing?.what === "edit" ? doing.sentence : null;
  const full = (query.data?.items.length ?? 0) >= MOST;
  const add = <Button type="primary" icon={<PlusOutlined />} disabled={full} onClick={() => setDoing({ what: "add" })}>{t("sentence.add")}</Button>;
  return (
    <Screen title={t("sentence.title")} lead={t("sentence.lead")} actions={add}>
      <Panel>{picker}</Panel>
      <Panel title={department.name} extra={query.data !== undefined && <span className="c-muted">{t("sentence.count", { count: query.data.items.length, most: MOST })}</span>}>
        <Loaded query={query}>
          {({ items }) => items.length === 0
            ? <Nothing title={t("sentence.none", { department: department.name })} hint={t("sentence.none.hint")} icon={<MessageOutlined />} />
            : <List department={department} sentences={items} onDo={setDoing} />}
        </Loaded>
      </Panel>
      <Drawer title={t(edited === null ? "sentence.add.title" : "sentence.edit.title", { department: department.name })} open={doing?.what === "add" || edited !== null} onClose={close} size={460} destroyOnHidden>
        {(doing?.what === "add" || edited !== null) && <SentenceForm key={edited?.id ?? "new"} department={department} sentence={edited} onClose={close} />}
      </Drawer>
      {doing?.what === "remove" && <Remove department={department} sentence={doing.sentence} onClose={close} />}
    </Screen>
  );
}

/** What the doctors of a department have at hand besides their own: added, changed, put in order. */
export default function Sentences(): ReactNode {
  const api = useApi();
  const t = useT();
  const [chosen, setChosen] = useState<string | null>(null);
  const query = useQuery({ queryKey: ["departments"], queryFn: ({ signal }) => api.call("list_departments", { signal }), staleTime: 300_000 });
  return (
    <Loaded query={query}>
      {({ items }) => {
        const department = items.find(({ id }) => id === chosen) ?? items[0];
        if (department === undefined) return <Screen title={t("sentence.title")}><Nothing title={t("sentence.departments.none")} /></Screen>;
        const picker = (
          <div className="c-filter">
            <Field label={t("orders.department")}>
              <Select
                aria-label={t("orders.department")} showSearch={{ optionFilterProp: "label" }} value={department.id}
                options={items.map(({ id, name }) => ({ value: id, label: name }))} onChange={setChosen}
              />
            </Field>
          </div>
        );
        return <OfDepartment key={department.id} department={department} picker={picker} />;
      }}
    </Loaded>
  );
}
