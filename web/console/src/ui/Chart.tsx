import type { ReactNode } from "react";
import { path, place, shownLabels, ticks } from "../rules/charts";

export interface Series {
  name: string;
  tone: "primary" | "success" | "warning";
  values: readonly number[];
}

const WIDTH = 720;
const HEIGHT = 220;
const LEFT = 52;
const RIGHT = 12;
const TOP = 12;
const BOTTOM = 26;

interface Props {
  title: string;
  labels: readonly string[];
  series: readonly Series[];
  text?: (value: number) => string;
}

/** Lines over days. Told apart by dash as well as by colour; the same figures stand in a table that the screen offers. */
export function LineChart({ title, labels, series, text = String }: Props): ReactNode {
  const marks = ticks(Math.max(0, ...series.flatMap((each) => each.values)));
  const top = marks.at(-1) ?? 1;
  const width = WIDTH - LEFT - RIGHT;
  const height = HEIGHT - TOP - BOTTOM;
  const shown = shownLabels(labels.length, 8);
  const at = place(labels.map(() => 0), 1, width, height);
  return (
    <figure className="c-chart">
      <figcaption className="c-chart__legend">
        {series.length > 1 && series.map(({ name, tone }) => <span key={name} className={`c-chart__name c-chart__name--${tone}`}>{name}</span>)}
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={title}>
        <g transform={`translate(${LEFT} ${TOP})`}>
          {marks.map((mark) => {
            const y = height - (mark / top) * height;
            return (
              <g key={mark}>
                <line className="c-chart__grid" x1={0} x2={width} y1={y} y2={y} />
                <text className="c-chart__text" x={-8} y={y + 4} textAnchor="end">{text(mark)}</text>
              </g>
            );
          })}
          {labels.map((label, n) => shown.has(n) && (
            <text key={label} className="c-chart__text" x={at[n]?.x} y={height + 20} textAnchor={n === labels.length - 1 ? "end" : "middle"}>{label}</text>
          ))}
          {series.map(({ name, tone, values }, n) => {
            const points = place(values, top, width, height);
            return (
              <g key={name} className={`c-chart__series c-chart__series--${tone}`}>
                {n === 0 && series.length === 1 && <path className="c-chart__area" d={`${path(points)}L${points.at(-1)?.x ?? 0} ${height}L${points[0]?.x ?? 0} ${height}Z`} />}
                <path className="c-chart__line" d={path(points)} />
                {points.map((point, i) => (
                  <circle key={labels[i]} cx={point.x} cy={point.y} r={labels.length > 40 ? 1.5 : 3}>
                    <title>{`${labels[i] ?? ""} ${name} ${text(values[i] ?? 0)}`}</title>
                  </circle>
                ))}
              </g>
            );
          })}
        </g>
      </svg>
    </figure>
  );
}

export interface Bar {
  name: ReactNode;
  key: string;
  value: number;
  /** A part of the value, drawn fuller. */
  part?: number;
  text: string;
}

/** Lying bars with their numbers in words. */
export function Bars({ bars }: { bars: readonly Bar[] }): ReactNode {
  const top = Math.max(1, ...bars.map((bar) => bar.value));
  return (
    <ul className="c-bars">
      {bars.map((bar) => (
        <li key={bar.key} className="c-bars__row">
          <span className="c-bars__name">{bar.name}</span>
          <span className="c-bars__track" aria-hidden="true">
            <span className="c-bars__bar" style={{ inlineSize: `${(bar.value / top) * 100}%` }}>
              {bar.part !== undefined && <span className="c-bars__part" style={{ inlineSize: `${bar.value === 0 ? 0 : (bar.part / bar.value) * 100}%` }} />}
            </span>
          </span>
          <span className="c-bars__text">{bar.text}</span>
        </li>
      ))}
    </ul>
  );
}
