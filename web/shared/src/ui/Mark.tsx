import type { ReactNode } from "react";

/** Our sign: a cloud that holds a cross. */
export function Mark({ className }: { className?: string }): ReactNode {
  return (
    <svg className={className} viewBox="0 0 48 48" aria-hidden="true" focusable="false">
      <path fill="currentColor" d="M14 39a11 11 0 0 1-2.2-21.8A13 13 0 0 1 36.9 19 10 10 0 0 1 36 39z" />
      <path fill="var(--yz-surface, #fff)" d="M22 20h4v5h5v4h-5v5h-4v-5h-5v-4h5z" />
    </svg>
  );
}
