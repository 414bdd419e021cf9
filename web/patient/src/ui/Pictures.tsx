import { ApiError, useApi, useExplain } from "@yunzhen/shared";
import { type ChangeEvent, type ReactNode, useEffect, useId, useRef, useState } from "react";
import { ImageViewer, PICTURE_TYPES, lightened, mediaCacheOf, upload } from "@yunzhen/shared/chat";
import { Icon } from "./Icon";
import { useT } from "../words";

export interface Chosen {
  key: string;
  url: string;
  blob: Blob;
  share: number;
  mediaId: string | null;
  error: unknown;
}

/** Pictures that are chosen, uploaded at once, shown with how far they are, and taken out again. */
export function useChosen(most: number): {
  chosen: Chosen[]; add: (files: readonly File[]) => void; remove: (key: string) => void; retry: (key: string) => void; busy: boolean;
} {
  const api = useApi();
  const [chosen, setChosen] = useState<Chosen[]>([]);
  const running = useRef(new Map<string, AbortController>());
  const urls = useRef(new Set<string>());
  useEffect(() => {
    const [controllers, made] = [running.current, urls.current];
    return () => {
      for (const each of controllers.values()) each.abort();
      for (const url of made) URL.revokeObjectURL(url);
    };
  }, []);
  const put = (key: string, change: Partial<Chosen>): void =>
    setChosen((now) => now.map((each) => (each.key === key ? { ...each, ...change } : each)));
  const start = async (key: string, file: Blob): Promise<void> => {
    const stop = new AbortController();
    running.current.set(key, stop);
    put(key, { error: null, share: 0 });
    try {
      const made = await upload(api, await lightened(file), "complaint", (share) => put(key, { share }), stop.signal);
      mediaCacheOf(api).keep(made.media_id, "thumbnail", file);
      put(key, { mediaId: made.media_id, share: 1 });
    } catch (error) {
      if (!stop.signal.aborted) put(key, { error });
    }
  };
  return {
    chosen,
    busy: chosen.some((each) => each.mediaId === null && each.error === null),
    add(files) {
      const added = files.slice(0, most - chosen.length).map((file): Chosen => {
        const url = URL.createObjectURL(file);
        urls.current.add(url);
        return { key: crypto.randomUUID(), url, blob: file, share: 0, mediaId: null, error: null };
      });
      setChosen([...chosen, ...added]);
      for (const each of added) void start(each.key, each.blob);
    },
    remove(key) {
      running.current.get(key)?.abort();
      setChosen(chosen.filter((each) => each.key !== key));
    },
    retry(key) {
      const one = chosen.find((each) => each.key === key);
      if (one !== undefined) void start(key, one.blob);
    },
  };
}

interface PickerProps {
  chosen: Chosen[];
  most: number;
  onAdd: (files: readonly File[]) => void;
  onRemove: (key: string) => void;
  onRetry: (key: string) => void;
}

export function PicturePicker({ chosen, most, onAdd, onRemove, onRetry }: PickerProps): ReactNode {
  const t = useT();
  const explain = useExplain();
  const id = useId();
  const [looking, setLooking] = useState<string | null>(null);
  const pick = (event: ChangeEvent<HTMLInputElement>): void => {
    onAdd([...(event.target.files ?? [])]);
    event.target.value = "";
  };
  const failed = chosen.find((each) => each.error !== null);
  return (
    <>
      <ul className="p-pictures">
        {chosen.map((each, index) => (
          <li key={each.key} className="p-pictures__one">
            <button type="button" className="p-pictures__look" onClick={() => setLooking(each.url)} aria-label={t("picture.look", { n: index + 1 })}>
              <img src={each.url} alt="" />
            </button>
            {each.mediaId === null && each.error === null && <progress max={1} value={each.share} aria-label={t("picture.uploading")} />}
            {each.error !== null && (
              <button type="button" className="p-pictures__retry" onClick={() => onRetry(each.key)}><Icon name="retry" />{t("common.retry")}</button>
            )}
            <button type="button" className="p-pictures__remove" aria-label={t("picture.remove", { n: index + 1 })} onClick={() => onRemove(each.key)}><Icon name="close" /></button>
          </li>
        ))}
        {chosen.length < most && (
          <li>
            <label className="p-pictures__add" htmlFor={id}><Icon name="plus" /><span>{t("picture.add")}</span><small>{chosen.length}/{most}</small></label>
            <input id={id} className="yz-hidden" type="file" accept={PICTURE_TYPES} multiple onChange={pick} />
          </li>
        )}
      </ul>
      {failed !== undefined && (
        <p className="yz-field__error" role="alert">{failed.error instanceof ApiError ? explain(failed.error) : t("picture.failed")}</p>
      )}
      {looking !== null && <ImageViewer url={looking} onClose={() => setLooking(null)} />}
    </>
  );
}
