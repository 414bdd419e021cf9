import { type ReactNode, useState } from "react";
import { useTranslate } from "../react/context";
import { ImageViewer } from "./ImageViewer";
import { Icon } from "./icons";
import { useHeldMedia } from "./media";

/** A picture as a thumbnail of a fixed size (nothing moves when it arrives); opens to the whole. `all`: those to turn through. */
export function Picture({ mediaId, all }: { mediaId: string; all?: readonly string[] }): ReactNode {
  const t = useTranslate();
  const media = useHeldMedia(mediaId, "thumbnail");
  const [open, setOpen] = useState(false);
  if (media.failed) {
    return (
      <button type="button" className="yz-picture yz-picture--failed" onClick={media.retry}>
        <Icon name="retry" /><span>{t("chat.image.failed")}</span>
      </button>
    );
  }
  return (
    <>
      <button type="button" className="yz-picture" aria-label={t("chat.image.open")} onClick={() => setOpen(true)}>
        {media.url !== null && <img src={media.url} alt={t("chat.image")} draggable={false} />}
      </button>
      {open && <MediaViewer mediaIds={all ?? [mediaId]} first={mediaId} onClose={() => setOpen(false)} />}
    </>
  );
}

function MediaViewer({ mediaIds, first, onClose }: { mediaIds: readonly string[]; first: string; onClose: () => void }): ReactNode {
  const [index, setIndex] = useState(Math.max(0, mediaIds.indexOf(first)));
  const media = useHeldMedia(mediaIds[index] ?? first);
  return <ImageViewer url={media.url} failed={media.failed} onRetry={media.retry} index={index} count={mediaIds.length} onTurn={setIndex} onClose={onClose} />;
}
