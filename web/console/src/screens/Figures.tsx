import { BarChartOutlined } from "@ant-design/icons";
import { Loaded, type Models, format, useApi } from "@yunzhen/shared";
import { useQuery } from "@tanstack/react-query";
import { Segmented } from "antd";
import { type ReactNode, useState } from "react";
import { Bars, LineChart } from "../ui/Chart";
import { Nothing, Panel, Screen } from "../ui/parts";
import { StaffTable } from "../ui/StaffTable";
import { useT } from "../words";
import { STATUSES } from "./Orders";

type Series = Models["SeriesOut"];
const SPANS = [7, 30, 90];

const percent = (part: number, whole: number): string => (whole === 0 ? "—" : `${((part / whole) * 100).toFixed(1)}%`);

function Totals({ figures }: { figures: Models["HospitalFiguresOut"] }): ReactNode {
  const t = useT();
  const { money, replied_rate: rate } = figures;
  const tiles: [string, string, string][] = [
    [t("figures.orders"), String(figures.orders), t("figures.all")],
    [t("figures.rate"), rate === null ? "—" : `${(rate * 100).toFixed(1)}%`, t("figures.rate.hint")],
    [t("figures.paid"), format.yuan(money.paid_fen), t("figures.balance")],
    [t("figures.held"), format.yuan(money.held_fen), ""],
    [t("figures.earned"), format.yuan(money.earned_fen), ""],
    [t("figures.refunded"), format.yuan(money.refunded_fen), ""],
  ];
  return (
    <div className="c-stats c-stats--small">
      {tiles.map(([name, value, hint]) => (
          <div key={name} className="c-stat"><span className="c-stat__name">{name}</span><span className="c-stat__value">{value}</span>{hint !== "" && <span className="c-stat__hint">{hint}</span>}</div>
      ))}
    </div>
  );
}

function Statuses({ figures }: { figures: Models["HospitalFiguresOut"] }): ReactNode {
  const t = useT();
  return <Bars bars={STATUSES.map((status) => ({ key: status, name: t(`status.${status}`), value: figures.by_status[status], text: String(figures.by_status[status]) }))} />;
}

function Days({ series }: { series: Series }): ReactNode {
  const t = useT();
  const [shown, setShown] = useState<"chart" | "table">("chart");
  const labels = series.days.map(({ day }) => day.slice(5).replace("-", "/"));
  const choose = (
    <Segmented<"chart" | "table">
      size="small" aria-label={t("figures.daily")} value={shown} onChange={setShown}
      options={[{ value: "chart", label: t("figures.chart") }, { value: "table", label: t("figures.table") }]}
    />
  );
  if (shown === "table") {
    return (
      <Panel title={t("figures.daily")} extra={choose} flush>
        <StaffTable
          name={t("figures.daily")} rows={series.days.toReversed()} rowKey="day"
          columns={[
            { title: t("figures.day"), render: (day) => day.day },
            ...(["orders", "paid", "answered"] as const).map((part) => ({ title: t(`figures.series.${part}`), align: "end" as const, render: (day: Models["DayOut"]) => day[part] })),
            { title: t("figures.departments.paid"), align: "end", render: (day) => format.yuan(day.paid_fen) },
            { title: t("board.today.refunded"), align: "end", render: (day) => format.yuan(day.refunded_fen) },
          ]}
        />
      </Panel>
    );
  }
  const lines = (["orders", "paid", "answered"] as const).map((part, n) => ({
    name: t(`figures.series.${part}`), tone: (["primary", "success", "warning"] as const)[n] ?? "primary", values: series.days.map((day) => day[part]),
  }));
  return (
    <div className="c-columns c-columns--even">
      <Panel title={t("figures.daily")} extra={choose}><LineChart title={t("figures.daily")} labels={labels} series={lines} /></Panel>
      <Panel title={t("figures.money")}>
        <LineChart title={t("figures.money")} labels={labels} text={(fen) => format.yuan(Math.round(fen))} series={[{ name: t("figures.departments.paid"), tone: "success", values: series.days.map((day) => day.paid_fen) }]} />
      </Panel>
    </div>
  );
}

function Departments({ series }: { series: Series }): ReactNode {
  const t = useT();
  if (series.departments.length === 0) return <Nothing title={t("figures.none")} icon={<BarChartOutlined />} />;
  return (
    <StaffTable
      name={t("figures.departments")} rows={series.departments} rowKey="department"
      columns={[
        { title: t("figures.department"), render: (each) => each.department },
        { title: t("figures.departments.orders"), align: "end", render: (each) => each.orders },
        { title: t("figures.departments.answered"), align: "end", render: (each) => `${each.answered} · ${percent(each.answered, each.orders)}` },
        { title: t("figures.departments.stars"), align: "end", render: (each) => (each.stars === null ? "—" : each.stars.toFixed(1)) },
        { title: t("figures.departments.paid"), align: "end", render: (each) => format.yuan(each.paid_fen) },
      ]}
    />
  );
}

export default function Figures(): ReactNode {
  const api = useApi();
  const t = useT();
  const [days, setDays] = useState(30);
  const totals = useQuery({ queryKey: ["figures"], queryFn: ({ signal }) => api.call("view_hospital_figures", { signal }) });
  const series = useQuery({
    queryKey: ["figures", days], queryFn: ({ signal }) => api.call("view_daily_figures", { query: { days }, signal }), placeholderData: (before) => before,
  });
  const span = <Segmented<number> aria-label={t("figures.span")} value={days} onChange={setDays} options={SPANS.map((each) => ({ value: each, label: t("figures.days", { days: each }) }))} />;
  return (
    <Screen title={t("figures.title")} actions={span}>
      <Loaded query={totals}>{(found) => <Totals figures={found} />}</Loaded>
      <Loaded query={series}>
        {(found) => (
          <>
            <Days series={found} />
            <div className="c-columns">
              <Panel title={t("figures.departments")} flush><Departments series={found} /></Panel>
              {totals.data && <Panel title={t("figures.status")}><Statuses figures={totals.data} /></Panel>}
            </div>
          </>
        )}
      </Loaded>
    </Screen>
  );
}
