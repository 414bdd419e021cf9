import { type ReactElement, type ReactNode, cloneElement, useId } from "react";

interface RowProps {
  label: string;
  hint?: string | undefined;
  error?: string | undefined;
  children: ReactElement<{ id?: string; "aria-describedby"?: string | undefined; "aria-invalid"?: boolean }>;
}

/** A labelled control, with what helps to fill it and what is wrong with it, for ears too. */
export function FormRow({ label, hint, error, children }: RowProps): ReactNode {
  const id = useId();
  const notes = [hint !== undefined && `${id}-hint`, error !== undefined && `${id}-error`].filter(Boolean).join(" ");
  return (
    <div className="c-form__row">
      <label className="c-form__label" htmlFor={id}>{label}</label>
      {cloneElement(children, { id, "aria-describedby": notes || undefined, "aria-invalid": error !== undefined })}
      {hint !== undefined && <span className="c-form__hint" id={`${id}-hint`}>{hint}</span>}
      {error !== undefined && <span className="c-form__error" id={`${id}-error`} role="alert">{error}</span>}
    </div>
  );
}
