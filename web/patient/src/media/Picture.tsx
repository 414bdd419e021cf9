import { type ReactNode, useState } from "react";
import { Icon } from "../ui/Icon";
import { useT } from "../words";
import { Viewer } from "./Viewer";
import { useShown } from "./cache";

/** A picture on the server, small; a tap shows all of it. */
export function Picture({ mediaId, n }: { mediaId: string; n: number }): ReactNode {
  const t = useT();
  const small = useShown(mediaId, "thumbnail");
  const [open, setOpen] = useState(false);
  if (small.state === "loading") return <span className="p-picture p-picture--wait" role="img" aria-label={t("picture.loading")} />;
  if (small.state === "failed") {
    return <button type="button" className="p-picture p-picture--failed" onClick={small.retry}><Icon name="retry" />{t("picture.reload")}</button>;
  }
  return (
    <>
      <button type="button" className="p-picture" aria-label={t("picture.look", { n })} onClick={() => setOpen(true)}><img src={small.url} alt="" /></button>
      {open && <Whole mediaId={mediaId} small={small.url} onClose={() => setOpen(false)} />}
    </>
  );
}

function Whole({ mediaId, small, onClose }: { mediaId: string; small: string; onClose: () => void }): ReactNode {
  const whole = useShown(mediaId, null);
  return <Viewer url={whole.state === "there" ? whole.url : small} onClose={onClose} />;
}
