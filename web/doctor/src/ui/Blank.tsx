import type { ReactNode } from "react";
import { Sign, type SignName } from "./Sign";

/** Nothing to show, and why that is fine. */
export function Blank({ sign, title, hint, children }: { sign: SignName; title: string; hint?: string; children?: ReactNode }): ReactNode {
  return (
    <div className="dr-blank">
      <span className="dr-blank__sign"><Sign name={sign} /></span>
      <p className="dr-blank__title">{title}</p>
      {hint !== undefined && <p className="dr-blank__hint">{hint}</p>}
      {children}
    </div>
  );
}
