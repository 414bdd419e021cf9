import { type ReactNode, useEffect, useRef } from "react";
import { useLocation, useNavigate } from "react-router";
import { useT } from "../words";
import { Icon } from "./Icon";

interface PageProps {
  title: string;
  subtitle?: ReactNode;
  /** Where the way back leads when there is no page before this one; null for the tabs, which have no way back. */
  up?: string | null;
  action?: ReactNode;
  /** Stays at the bottom: the one thing to do on this page. */
  footer?: ReactNode;
  /** The page gives its own scrolling, as a chat does. */
  fixed?: boolean;
  children: ReactNode;
}

export function Page({ title, subtitle, up = "/", action, footer, fixed = false, children }: PageProps): ReactNode {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = title;
    // A new page begins at its title, also for those who hear it.
    heading.current?.focus({ preventScroll: true });
    scrollTo(0, 0);
    // eslint-disable-next-line react-hooks/exhaustive-deps -- the title may be filled in later without the page being another
  }, []);
  useEffect(() => void (document.title = title), [title]);
  return (
    <div className={fixed ? "p-page p-page--fixed" : "p-page"}>
      <header className="p-header">
        {up !== null && <BackButton up={up} />}
        <div className="p-header__words">
          <h1 className="p-header__title" ref={heading} tabIndex={-1}>{title}</h1>
          {subtitle !== undefined && <div className="p-header__sub">{subtitle}</div>}
        </div>
        <div className="p-header__action">{action}</div>
      </header>
      <main className="p-main">{children}</main>
      {footer !== undefined && <footer className="p-footer">{footer}</footer>}
    </div>
  );
}

function BackButton({ up }: { up: string }): ReactNode {
  const navigate = useNavigate();
  const { key } = useLocation();
  const t = useT();
  const back = (): void => void (key === "default" ? navigate(up, { replace: true }) : navigate(-1));
  return (
    <button type="button" className="p-iconbutton" aria-label={t("common.back")} onClick={back}>
      <Icon name="back" />
    </button>
  );
}
