import { FileSearchOutlined, InboxOutlined } from "@ant-design/icons";
import { type Models, format, useApi, usePreferences } from "@yunzhen/shared";
import { useMutation } from "@tanstack/react-query";
import { Button } from "antd";
import { Fragment, type ReactNode, useCallback, useEffect, useState } from "react";
import { Link } from "react-router";
import { useMay } from "../ui/me";
import { Badge, Nothing, Panel, Problem, Screen } from "../ui/parts";
import { useT } from "../words";

type Found = Models["TracedViewOut"];
const LONGEST_MS = 300_000;

function Drop({ onPicture }: { onPicture: (file: File) => void }): ReactNode {
  const t = useT();
  const [over, setOver] = useState(false);
  // Anywhere in the window: who drops beside the field means it too.
  useEffect(() => {
    const hover = (event: DragEvent): void => {
      event.preventDefault();
      setOver(event.type === "dragover");
    };
    const drop = (event: DragEvent): void => {
      hover(event);
      const file = event.dataTransfer?.files[0];
      if (file) onPicture(file);
    };
    addEventListener("dragover", hover);
    addEventListener("dragleave", hover);
    addEventListener("drop", drop);
    return () => {
      removeEventListener("dragover", hover);
      removeEventListener("dragleave", hover);
      removeEventListener("drop", drop);
    };
  }, [onPicture]);
  return (
    <label className={over ? "c-drop c-drop--over" : "c-drop"}>
      <InboxOutlined className="c-drop__icon" aria-hidden="true" />
      <span className="c-drop__title">{t("trace.drop")}</span>
      <span className="c-muted">{t("trace.kinds")}</span>
      <span className="c-muted">{t("trace.paste")}</span>
      <input
        className="yz-hidden" type="file" accept="image/jpeg,image/png,image/webp,image/heic,image/heif"
        onChange={(event) => { const file = event.target.files?.[0]; event.target.value = ""; if (file) onPicture(file); }}
      />
    </label>
  );
}

function Working(): ReactNode {
  const t = useT();
  const [seconds, setSeconds] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => setSeconds((before) => before + 1), 1_000);
    return () => clearInterval(timer);
  }, []);
  return (
    <Panel title={t("trace.reading")}>
      <div className="c-work" aria-hidden="true" />
      <p className="c-muted" role="timer">{t("trace.reading.hint", { seconds })}</p>
    </Panel>
  );
}

/** Half of the bits agree by chance, so half is nothing and all is certain. */
function Sure({ found }: { found: Found }): ReactNode {
  const t = useT();
  const share = Math.round(Math.max(0, (found.confidence - 0.5) * 2) * 100);
  const level = found.decoded || share >= 80 ? "high" : share >= 50 ? "middle" : "low";
  return (
    <>
      <p>{t(`trace.sure.${level}`)} · {(found.confidence * 100).toFixed(1)}%</p>
      <div className="c-meter" aria-hidden="true"><span className="c-meter__bar" style={{ inlineSize: `${share}%` }} /></div>
      <p className="c-muted">{t(found.decoded ? "trace.decoded" : "trace.compared")}</p>
    </>
  );
}

function Card({ found }: { found: Found }): ReactNode {
  const t = useT();
  const { language } = usePreferences();
  const mayOrder = useMay("orders");
  const facts: [string, ReactNode][] = [
    [t("trace.staffNumber"), found.doctor.staff_number],
    [t("trace.viewed"), format.exactly(found.viewed_at, language)],
    [t("trace.order"), mayOrder ? <Link key="o" to={`/orders/${found.order_id}`}>{found.order_number}</Link> : found.order_number],
    [t("trace.page"), `${found.record_id.slice(0, 12)} · ${t("trace.page.n", { page: found.page })}`],
    [t("trace.view"), <code key="v">{found.view_id}</code>],
    [t("trace.confidence"), <Sure key="s" found={found} />],
  ];
  return (
    <Panel title={t("trace.doctor")} extra={<Badge tone="primary">{found.order_number}</Badge>}>
      <p className="c-trace__doctor">{found.doctor.name}</p>
      <dl className="c-facts">{facts.map(([name, value]) => <Fragment key={name}><dt>{name}</dt><dd>{value}</dd></Fragment>)}</dl>
    </Panel>
  );
}

function Result({ trace }: { trace: Models["TraceOut"] }): ReactNode {
  const t = useT();
  return (
    <div className="c-trace__found" role="status">
      {trace.items.length === 0
        ? <Panel><Nothing title={t("trace.nothing")} hint={t("trace.nothing.text")} icon={<FileSearchOutlined />} /></Panel>
        : <h2 className="c-panel__title">{t("trace.found", { count: trace.items.length })}</h2>}
      {trace.items.length > 1 && <p className="c-muted">{t("trace.mixed")}</p>}
      {trace.items.map((found) => <Card key={found.view_id} found={found} />)}
    </div>
  );
}

/** The picture stays in this page alone. */
function usePicture(): [string | null, (file: File | null) => void] {
  const [url, setUrl] = useState<string | null>(null);
  useEffect(() => () => { if (url !== null) URL.revokeObjectURL(url); }, [url]);
  return [url, useCallback((file) => setUrl(file === null ? null : URL.createObjectURL(file)), [])];
}

export default function Trace(): ReactNode {
  const api = useApi();
  const t = useT();
  const [url, show] = usePicture();
  const trace = useMutation({
    mutationFn: (file: File) => {
      const form = new FormData();
      form.append("file", file);
      return api.submit("trace_leak", form, { timeoutMs: LONGEST_MS });
    },
  });
  const { mutate, reset, isIdle } = trace;
  const begin = useCallback((file: File): void => {
    show(file);
    mutate(file);
  }, [show, mutate]);
  const again = (): void => {
    reset();
    show(null);
  };
  useEffect(() => {
    const paste = (event: ClipboardEvent): void => {
      const file = [...(event.clipboardData?.files ?? [])].find((each) => each.type.startsWith("image/"));
      if (file && isIdle) begin(file);
    };
    addEventListener("paste", paste);
    return () => removeEventListener("paste", paste);
  }, [begin, isIdle]);
  return (
    <Screen title={t("trace.title")} lead={t("trace.text")} actions={!isIdle && !trace.isPending && <Button type="primary" onClick={again}>{t("trace.again")}</Button>}>
      {isIdle ? <Drop onPicture={begin} /> : (
        <div className="c-trace">
          <Panel>
            {url !== null && <img className="c-trace__picture" src={url} alt={t("trace.picture")} />}
            {trace.data && <p className="c-muted">{t("trace.size", { width: trace.data.width, height: trace.data.height })}</p>}
            {trace.data && <p className="c-muted">{t("trace.file")}<br /><code className="c-id--whole">{trace.data.sha256}</code></p>}
          </Panel>
          {trace.isPending && <Working />}
          {trace.isError && <Problem error={trace.error} />}
          {trace.data && <Result trace={trace.data} />}
        </div>
      )}
    </Screen>
  );
}
