import { type ReactNode, createContext, use, useCallback, useEffect, useMemo, useState } from "react";
import { useExplain } from "@yunzhen/shared";

interface Toast {
  text: string;
  bad: boolean;
  id: number;
}
interface Toasts {
  say: (text: string) => void;
  /** What became of something that failed, and what to do. */
  sorry: (error: unknown) => void;
}

const Context = createContext<Toasts | null>(null);
const SHOWN_MS = 5_000;

/** Short words about what just happened, read out and gone again. */
export function ToastProvider({ children }: { children: ReactNode }): ReactNode {
  const explain = useExplain();
  const [toast, setToast] = useState<Toast | null>(null);
  const show = useCallback((text: string, bad: boolean) => setToast((was) => ({ text, bad, id: (was?.id ?? 0) + 1 })), []);
  const toasts = useMemo(() => ({ say: (text: string) => show(text, false), sorry: (error: unknown) => show(explain(error), true) }), [show, explain]);
  useEffect(() => {
    if (toast === null) return undefined;
    const timer = setTimeout(() => setToast(null), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [toast]);
  return (
    <Context value={toasts}>
      {children}
      <div className="dr-toasts" role="status" aria-live="polite">
        {toast !== null && <p key={toast.id} className="dr-toast" data-bad={toast.bad}>{toast.text}</p>}
      </div>
    </Context>
  );
}

export function useToasts(): Toasts {
  const toasts = use(Context);
  if (toasts === null) throw new Error("outside of ToastProvider");
  return toasts;
}
