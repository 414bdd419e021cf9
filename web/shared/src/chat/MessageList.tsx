import { type ReactNode, memo, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { Virtualizer, type VirtualizerHandle } from "virtua";
import { usePreferences, useRealtime, useRuntime, useTranslate } from "../react/context";
import type { Message } from "../socket/conversation";
import type { Conversation } from "../socket/realtime";
import { Bubble, PendingBubble, WaitingBubble } from "./Bubble";
import { type CardAction, CardView } from "./Card";
import { Icon } from "./icons";
import { useWaiting } from "./queue";
import { type Row, mayRecall, rowsOf } from "./rows";

export const RECALL_MS = 2 * 60_000;
const NEAR_PX = 80;

interface Props {
  conversation: Conversation;
  ownAccountId: string;
  /** How long a message may be taken back; null where this account's never can. The server has the last word. */
  recallMs?: number | null;
  onRecall: (message: Message) => void;
  /** What else can be done with a message, such as keeping it. Best one that stays the same function. */
  actions?: ((message: Message, own: boolean) => ReactNode) | undefined;
  cardAction?: CardAction | undefined;
  /** Ask for a rating where the log does: for the patient. */
  asksForRating?: boolean;
  /** A number to bring into sight and mark, however far back it is. */
  find?: number | null;
  /** Before the first message when all are here. */
  head?: ReactNode;
  /** A picture laid over all of it, repeated: the mark of who looks. */
  mark?: { url: string; width: number; height: number } | null;
}

/** A conversation from its beginning to now; only what is near the window is in the page. Stays at the end while one is there. */
export function MessageList({ conversation, ownAccountId, recallMs = RECALL_MS, onRecall, actions, cardAction, asksForRating = false, find = null, head, mark }: Props): ReactNode {
  const { log, pending, typing } = conversation;
  const t = useTranslate();
  const live = useRealtime();
  const { clock } = useRuntime();
  const { waiting } = useWaiting(log.conversationId);
  const readTo = useReadTo(conversation.log, ownAccountId);
  const rows = useMemo(
    () => rowsOf(log, pending, ownAccountId, { waiting, readTo, asksForRating }), [log, pending, ownAccountId, waiting, readTo, asksForRating],
  );
  const pictures = useMemo(() => picturesOf(rows), [rows]);
  const [older, setOlder] = useState(false); // history is being put in front: keep the place from the end
  const [behind, setBehind] = useState(find !== null); // not at the end
  const [now, setNow] = useState(() => clock.now());
  const [margin, setMargin] = useState(0); // what stands before the rows, in pixels
  const before = useRef<HTMLDivElement>(null);
  const list = useRef<VirtualizerHandle>(null);
  const frame = useRef<HTMLDivElement>(null);
  const end = useRef(find === null);
  const place = useRef({ top: 0, height: 0 });
  const told = useRef({ id: "", seq: 0 });
  const last = rows.at(-1);
  const ownLast = last?.kind === "pending" || last?.kind === "waiting";
  const typist = typing.find((id) => id !== ownAccountId);

  useEffect(() => {
    const timer = setInterval(() => setNow(clock.now()), 5_000); // until what can be taken back no longer can
    return () => clearInterval(timer);
  }, [clock]);
  useLayoutEffect(() => {
    if (ownLast) end.current = true;
    if (end.current) toEnd(frame.current, list.current, rows.length);
  }, [last?.key, ownLast, rows.length, typist]);
  useEffect(() => {
    const box = frame.current;
    if (box === null) return undefined;
    const observer = new ResizeObserver(() => {
      setMargin(before.current?.offsetHeight ?? 0);
      if (end.current) box.scrollTop = box.scrollHeight; // a keyboard opened, a row was measured
    });
    observer.observe(box);
    for (const each of [box.firstElementChild, before.current]) if (each !== null) observer.observe(each);
    return () => observer.disconnect();
  }, []);
  const id = log.conversationId;
  const unseen = Math.max(lastOfOthers(log.messages, ownAccountId), log.unread > 0 ? log.seq : 0);
  const known = readUpTo(log, ownAccountId);
  useEffect(() => {
    const seen = (): void => {
      if (behind || document.visibilityState !== "visible" || unseen <= Math.max(known, told.current.id === id ? told.current.seq : 0)) return;
      told.current = { id, seq: unseen }; // once each: one's own mark comes back only with the next sync
      live.markRead(id);
    };
    seen();
    document.addEventListener("visibilitychange", seen);
    return () => document.removeEventListener("visibilitychange", seen);
  }, [live, id, unseen, known, behind]);

  const recall = useRef(onRecall);
  useEffect(() => {
    recall.current = onRecall;
  }, [onRecall]);
  const take = useCallback((message: Message) => recall.current(message), []);
  const loadOlder = useCallback(async (): Promise<boolean> => {
    setOlder(true);
    const loaded = await live.loadOlder(id).then(() => true, () => false); // the button stays and can be pressed again
    requestAnimationFrame(() => setOlder(false));
    return loaded;
  }, [live, id]);
  const sought = useRef<number | null>(null);
  useEffect(() => {
    if (find === null || sought.current === find || older || log.seq === 0) return;
    const index = rows.findIndex((row) => row.kind === "message" && row.message.seq === find);
    if (log.first <= find) {
      sought.current = find;
      if (index >= 0) list.current?.scrollToIndex(index, { align: "center" });
      requestAnimationFrame(() => {
        end.current = atEnd(frame.current); // it may all fit into the window
        setBehind(!end.current);
      });
    } else {
      queueMicrotask(() => void loadOlder().then((loaded) => (sought.current = loaded ? sought.current : find)));
    }
  }, [find, log.first, log.seq, older, rows, loadOlder]);
  const scrolled = (): void => {
    const box = frame.current;
    if (box === null) return;
    const { scrollTop: top, scrollHeight: height } = box;
    const near = atEnd(box);
    // Only a person scrolls up in a list whose height stays; what is measured while it is drawn moves it too.
    if (near) end.current = true;
    else if (place.current.height === height && top < place.current.top) end.current = false;
    place.current = { top, height };
    setBehind(!end.current);
    if (box.scrollTop < NEAR_PX && log.first > 1 && !older) void loadOlder();
  };
  return (
    <div className="yz-chat">
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reachable by keyboard */}
      <div ref={frame} className="yz-chat__scroll" role="log" aria-label={t("chat.log")} tabIndex={0} onScroll={scrolled}>
        <div className="yz-chat__rows">
          <div ref={before} className="yz-chat__head">
            {log.first > 1
              ? <button type="button" className="yz-link yz-chat__older" disabled={older} onClick={() => void loadOlder()}>{older ? t("common.loading") : t("chat.older")}</button>
              : head}
            {rows.length === 0 && <p className="yz-tombstone">{t("chat.empty")}</p>}
          </div>
          <Virtualizer ref={list} scrollRef={frame} shift={older} bufferSize={600} startMargin={margin} data={rows}>
            {(row) => (
              <div key={row.key} className="yz-chat__row" data-found={find !== null && row.kind === "message" && row.message.seq === find}>
                <RowView
                  row={row} pictures={pictures} actions={actions} cardAction={cardAction} onRecall={take}
                  recallable={recallMs !== null && row.kind === "message" && mayRecall(row.message, ownAccountId, now, recallMs)}
                />
              </div>
            )}
          </Virtualizer>
          <p className="yz-chat__typing" aria-live="polite">{typist === undefined ? "" : t("chat.typing")}</p>
        </div>
      </div>
      {mark && <div className="yz-chat__mark" aria-hidden="true" style={{ backgroundImage: `url("${mark.url}")`, backgroundSize: `${String(mark.width)}px ${String(mark.height)}px` }} />}
      {behind && (
        <button type="button" className="yz-chat__down" onClick={() => { end.current = true; toEnd(frame.current, list.current, rows.length); }}>
          <Icon name="down" /><span className={log.unread > 0 ? "" : "yz-hidden"}>{t("chat.newer")}</span>
        </button>
      )}
    </div>
  );
}

interface RowProps {
  row: Row;
  pictures: readonly string[];
  actions: Props["actions"];
  cardAction: CardAction | undefined;
  recallable: boolean;
  onRecall: (message: Message) => void;
}

const RowView = memo(function RowView({ row, pictures, actions, cardAction, recallable, onRecall }: RowProps): ReactNode {
  const t = useTranslate();
  switch (row.kind) {
    case "day": return <Day at={row.at} />;
    case "unread": return <p className="yz-chat__unread"><span>{t("chat.unread")}</span></p>;
    case "system": return <SystemLine row={row} cardAction={cardAction} />;
    case "pending": return <PendingBubble item={row.item} first={row.first} />;
    case "waiting": return <WaitingBubble item={row.item} first={row.first} />;
    case "message": return (
      <Bubble row={row} pictures={pictures} actions={actions?.(row.message, row.own)} cardAction={cardAction} onRecall={recallable ? onRecall : null} />
    );
  }
});

/** Where reading had come to when this conversation was opened; null where nothing was new. Known with the first sync. */
function useReadTo(log: Conversation["log"], own: string): number | null {
  const [opened, setOpened] = useState<{ id: string; readTo: number | null } | null>(null);
  if (opened?.id !== log.conversationId && log.open !== null && log.seq > 0) {
    const readTo = log.receipts[own]?.read_seq ?? 0;
    setOpened({ id: log.conversationId, readTo: log.unread > 0 && readTo > 0 ? readTo : null });
  }
  return opened?.id === log.conversationId ? opened.readTo : null;
}

function Day({ at }: { at: string }): ReactNode {
  const t = useTranslate();
  const { clock } = useRuntime();
  const { language } = usePreferences();
  const [now] = useState(() => clock.now());
  const date = new Date(at);
  const days = Math.round((new Date(now).setHours(0, 0, 0, 0) - new Date(at).setHours(0, 0, 0, 0)) / 86_400_000);
  const name = days === 0 ? t("chat.today") : days === 1 ? t("chat.yesterday") : date.toLocaleDateString(language, { month: "long", day: "numeric", weekday: "short" });
  return <p className="yz-chat__day"><time dateTime={at}>{name}</time></p>;
}

function SystemLine({ row, cardAction }: { row: Extract<Row, { kind: "system" }>; cardAction: CardAction | undefined }): ReactNode {
  const t = useTranslate();
  const { event, message } = row;
  const card = message.parts.find((part) => part.kind === "card");
  if (card !== undefined) return <div className="yz-chat__card"><CardView card={card} action={cardAction} /></div>;
  if (event.name === "gift") return <p className="yz-chat__system">{t("chat.gift", { count: event.count })}</p>;
  if (event.name === "settled") return <p className="yz-chat__system">{t(`chat.settled.${event.outcome}`)}</p>;
  if (event.name === "referred") {
    return (
      <p className="yz-chat__system">
        {t(`chat.referred.${event.act}`, { doctor: event.doctor })}
        {event.reason !== null && <><br />{t("chat.closed.reason", { reason: event.reason })}</>}
      </p>
    );
  }
  if (event.name !== "closed") return <p className="yz-chat__system">{t(`chat.${event.name}`)}</p>;
  return (
    <p className="yz-chat__system" data-closed>
      {t(isCause(event.cause) ? `chat.closed.${event.cause}` : "chat.closed.finished")}
      {event.reason !== null && <><br />{t("chat.closed.reason", { reason: event.reason })}</>}
    </p>
  );
}

const CAUSES = ["quota", "expired", "finished", "cancelled", "declined", "after_sales"] as const;
const isCause = (cause: string): cause is (typeof CAUSES)[number] => (CAUSES as readonly string[]).includes(cause);

function picturesOf(rows: readonly Row[]): string[] {
  return rows.flatMap((row) => (row.kind === "message" ? row.message.parts.flatMap((part) => (part.kind === "image" ? [part.media_id] : [])) : []));
}

const readUpTo = (log: Conversation["log"], own: string): number => log.receipts[own]?.read_seq ?? 0;

function lastOfOthers(messages: readonly Message[], own: string): number {
  return messages.findLast((m) => m.sender.account_id !== own)?.seq ?? 0;
}

const atEnd = (box: HTMLElement | null): boolean => box === null || box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PX;

function toEnd(box: HTMLElement | null, list: VirtualizerHandle | null, count: number): void {
  if (count === 0) return;
  list?.scrollToIndex(count - 1, { align: "end" });
  if (box !== null) requestAnimationFrame(() => (box.scrollTop = box.scrollHeight));
}
