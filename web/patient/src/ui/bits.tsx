import { type ReactNode, useId } from "react";
import { Link } from "react-router";
import { Icon, type IconName } from "./Icon";

/** A person as a coloured letter: the same colour for the same name everywhere. */
export function Avatar({ name, large = false }: { name: string; large?: boolean }): ReactNode {
  const hue = Array.from(name).reduce((sum, each) => (sum * 31 + (each.codePointAt(0) ?? 0)) % 6, 7);
  return <span className={`p-avatar p-avatar--${hue}${large ? " p-avatar--large" : ""}`} aria-hidden="true">{Array.from(name)[0] ?? "·"}</span>;
}

export function Tag({ kind = "plain", children }: { kind?: "plain" | "good" | "wait" | "bad" | "quiet"; children: ReactNode }): ReactNode {
  return <span className={`p-tag p-tag--${kind}`}>{children}</span>;
}

export function Card({ children, className = "" }: { children: ReactNode; className?: string }): ReactNode {
  return <section className={`p-card ${className}`}>{children}</section>;
}

export function Blank({ icon, title, text, children }: { icon: IconName; title: string; text?: string; children?: ReactNode }): ReactNode {
  return (
    <div className="p-blank">
      <span className="p-blank__icon"><Icon name={icon} /></span>
      <h2>{title}</h2>
      {text !== undefined && <p>{text}</p>}
      {children}
    </div>
  );
}

interface RowProps {
  icon?: IconName;
  title: ReactNode;
  note?: ReactNode;
  value?: ReactNode;
}

export function LinkRow({ to, ...row }: RowProps & { to: string }): ReactNode {
  return <Link className="p-row" to={to}><RowWords {...row} /><Icon name="forward" /></Link>;
}

export function ButtonRow({ onClick, danger = false, ...row }: RowProps & { onClick: () => void; danger?: boolean }): ReactNode {
  return <button type="button" className={danger ? "p-row p-row--danger" : "p-row"} onClick={onClick}><RowWords {...row} /></button>;
}

function RowWords({ icon, title, note, value }: RowProps): ReactNode {
  return (
    <>
      {icon !== undefined && <span className="p-row__icon"><Icon name={icon} /></span>}
      <span className="p-row__words">
        <span className="p-row__title">{title}</span>
        {note !== undefined && <span className="p-row__note">{note}</span>}
      </span>
      {value !== undefined && <span className="p-row__value">{value}</span>}
    </>
  );
}

interface ChoiceProps<T extends string> {
  label: string;
  value: T;
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
}

/** A few ways, all in sight: radio buttons that look like one bar. */
export function Choice<T extends string>({ label, value, options, onChange }: ChoiceProps<T>): ReactNode {
  const name = useId();
  return (
    <fieldset className="p-choice">
      <legend className="yz-field__label">{label}</legend>
      <div className="p-choice__bar" data-count={options.length}>
        {options.map(([each, words]) => (
          <label key={each} className="p-choice__one">
            <input type="radio" name={name} value={each} checked={each === value} onChange={() => onChange(each)} />
            <span>{words}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

interface SwitchProps {
  label: string;
  note?: string;
  checked: boolean;
  disabled?: boolean;
  onChange: (on: boolean) => void;
}

export function Switch({ label, note, checked, disabled = false, onChange }: SwitchProps): ReactNode {
  const id = useId();
  return (
    <div className="p-row">
      <span className="p-row__words">
        <label className="p-row__title" htmlFor={id}>{label}</label>
        {note !== undefined && <span className="p-row__note" id={`${id}-note`}>{note}</span>}
      </span>
      <input
        id={id} className="p-switch" type="checkbox" role="switch" checked={checked} disabled={disabled} aria-describedby={note === undefined ? undefined : `${id}-note`}
        onChange={(event) => onChange(event.target.checked)}
      />
    </div>
  );
}

export function Stars({ value, words }: { value: number; words: string }): ReactNode {
  return (
    <span className="p-stars" role="img" aria-label={words}>
      <Icon name="star" filled />{value.toFixed(1)}
    </span>
  );
}

/** Grey shapes of what is coming; `label` for those who hear the page. */
export function Skeleton({ rows = 3, label }: { rows?: number; label: string }): ReactNode {
  return (
    <div role="status" className="p-skeletons">
      <span className="yz-hidden">{label}</span>
      {Array.from({ length: rows }, (_, index) => <div key={index} className="p-skeleton" aria-hidden="true"><i /><i /><i /></div>)}
    </div>
  );
}
