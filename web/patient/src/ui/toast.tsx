import { useExplain } from "@yunzhen/shared";
import { type ReactNode, createContext, use, useCallback, useEffect, useMemo, useState } from "react";

type Tell = (text: string) => void;
const Context = createContext<Tell>(() => undefined);
const SHOWN_MS = 4_000;

/** One short word at a time of what was done, spoken too. */
export function Toasts({ children }: { children: ReactNode }): ReactNode {
  const [said, setSaid] = useState<{ text: string; at: number } | null>(null);
  useEffect(() => {
    if (said === null) return undefined;
    const timer = setTimeout(() => setSaid(null), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [said]);
  const tell = useCallback<Tell>((text) => setSaid({ text, at: performance.now() }), []);
  return (
    <Context value={tell}>
      {children}
      <div className="p-toast" role="status" aria-live="polite">{said !== null && <p key={said.at}>{said.text}</p>}</div>
    </Context>
  );
}

export const useToast = (): Tell => use(Context);

/** Says what went wrong and what to do about it. */
export function useTellFailure(): (error: unknown) => void {
  const tell = useToast();
  const explain = useExplain();
  return useMemo(() => (error: unknown) => tell(explain(error)), [tell, explain]);
}
