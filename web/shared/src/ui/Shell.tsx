import { type ReactNode, useEffect, useState } from "react";
import { BrowserRouter } from "react-router";
import { ApiError } from "../api/errors";
import type { Words } from "../i18n";
import { RuntimeProvider, useRuntime, useSession, useTranslate } from "../react/context";
import type { Runtime } from "../react/runtime";
import { LoginScreen } from "./LoginScreen";
import { ErrorBoundary, Failure, Loading, OfflineBanner } from "./states";

interface ShellProps {
  runtime: Runtime;
  words: Words<string>;
  /** Round everything: the component library's theme and language. */
  Library: (props: { children: ReactNode }) => ReactNode;
  /** The signed-in app: its routes. */
  children: ReactNode;
}

/** All that the three apps have in common round their routes. */
export function Shell({ runtime, words, Library, children }: ShellProps): ReactNode {
  return (
    <RuntimeProvider runtime={runtime} words={words}>
      <ErrorBoundary>
        <Library>
          <BrowserRouter basename={`/${runtime.options.app}`}>
            <div className="yz-page">
              <OfflineBanner />
              <RequireSession>{children}</RequireSession>
            </div>
          </BrowserRouter>
        </Library>
      </ErrorBoundary>
    </RuntimeProvider>
  );
}

/** The app for who is signed in, the log-in screen for who is not. */
function RequireSession({ children }: { children: ReactNode }): ReactNode {
  const runtime = useRuntime();
  const { session, options } = runtime;
  const state = useSession();
  const t = useTranslate();
  const [failure, setFailure] = useState<unknown>(null);
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    document.title = t(`app.${options.app}`);
  }, [t, options.app]);
  useEffect(() => {
    if (session.getState().status !== "unknown") return;
    session.accessToken().then(
      () => setFailure(null),
      async (error: unknown) => {
        const unreachable = error instanceof ApiError && error.mayPass;
        if (!unreachable || !(await runtime.resumeOffline().catch(() => false))) setFailure(error);
      },
    );
  }, [runtime, session, attempt]);
  if (state.status === "in") return children;
  if (state.status === "out") return <LoginScreen />;
  return failure === null ? <Loading /> : <Failure error={failure} onRetry={() => setAttempt(attempt + 1)} />;
}
