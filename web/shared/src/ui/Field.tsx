import { type ComponentProps, type ReactNode, useId } from "react";

interface FieldProps extends ComponentProps<"input"> {
  label: string;
  error?: string | undefined;
  hint?: string | undefined;
  beside?: ReactNode;
}

/** A line to fill in: its name, what helps, what is wrong with it, and what stands beside it. */
export function Field({ label, error, hint, beside, ...input }: FieldProps): ReactNode {
  const id = useId();
  const notes = [error !== undefined && `${id}-error`, hint !== undefined && `${id}-hint`].filter(Boolean).join(" ");
  return (
    <div className="yz-field">
      <label className="yz-field__label" htmlFor={id}>{label}</label>
      <div className="yz-field__row">
        <input {...input} id={id} className="yz-field__input" aria-invalid={error !== undefined} aria-describedby={notes || undefined} />
        {beside}
      </div>
      {hint !== undefined && <span id={`${id}-hint`} className="yz-field__hint">{hint}</span>}
      {error !== undefined && <span id={`${id}-error`} className="yz-field__error" role="alert">{error}</span>}
    </div>
  );
}
