import { describe, expect, it } from "vitest";
import { MediaCache } from "../src/chat/cache";
import { type FilePiece, MediaQueue, type Waiting, type WaitingStore } from "../src/chat/queue";
import type { OutboxItem } from "../src/socket/outbox";
import { ApiError } from "../src/api/errors";
import { DraftHolder, piecesOf } from "../src/chat/draft";
import { bars, clock, loudness } from "../src/chat/levels";
import { type Row, mayRecall, rowsOf } from "../src/chat/rows";
import { emptyLog, withMessages, withReceipt } from "../src/socket/conversation";
import { OTHER, OWN, TALK, message, settled } from "./fakes";

const own = (seq: number, more = {}): ReturnType<typeof message> =>
  message(seq, { sender: { account_id: OWN, role: "doctor", name: "王" }, ...more });
const system = (seq: number, kind: "opened" | "gift" | "closed" | "settled", data: object, closes: string | null = null): ReturnType<typeof message> =>
  message(seq, { kind, closes, sender: { account_id: null, role: "system", name: null }, parts: [{ kind: "system", event: kind, data: data as Record<string, never> }] });
const rows = (messages: ReturnType<typeof message>[]): Row[] => rowsOf(withMessages(emptyLog(TALK), messages), [], OWN);

describe("the rows of a conversation", () => {
  it("begin each day with its name and say what happened in words of their own", () => {
    const made = rows([system(1, "opened", {}), message(2), system(3, "gift", { count: 2 }), system(4, "settled", { outcome: "earned" })]);
    expect(made.map((row) => row.kind)).toEqual(["day", "system", "message", "system"]);
    expect(made[3]).toMatchObject({ event: { name: "gift", count: 2 } });
  });

  it("mark where the new ones of others begin, once", () => {
    const made = rowsOf(withMessages(emptyLog(TALK), [message(1), own(2), message(3), message(4)]), [], OWN, { readTo: 1 });
    expect(made.map((row) => row.key)).toEqual(["day-1", "m-1", "m-2", "unread", "m-3", "m-4"]);
  });

  it("tell that money went back, and ask the patient alone for a rating", () => {
    const refunded = rows([system(1, "settled", { outcome: "refund" })]);
    expect(refunded[1]).toMatchObject({ event: { name: "settled", outcome: "refund" } });
    const asked = rowsOf(withMessages(emptyLog(TALK), [system(1, "settled", { outcome: "earned" })]), [], OWN, { asksForRating: true });
    expect(asked[1]).toMatchObject({ event: { name: "settled", outcome: "earned" } });
  });

  it("show what is on its way once, whichever of the three places it is in", () => {
    const pending = [{ client_id: message(2).client_id }, { client_id: "a" }] as OutboxItem[];
    const waiting = [{ client_id: "a" }, { client_id: "b" }, { client_id: message(1).client_id }] as Waiting[];
    const made = rowsOf(withMessages(emptyLog(TALK), [message(1), message(2)]), pending, OWN, { waiting });
    expect(made.map((row) => row.key)).toEqual(["day-1", "m-1", "m-2", "p-a", "p-b"]);
  });

  it("show a message that was taken back in its place, and the taking back not at all", () => {
    const made = rows([own(1), message(2), own(3, { kind: "recall", recalls: 1, parts: [] })]);
    expect(made.map((row) => row.key)).toEqual(["day-1", "m-1", "m-2"]);
    expect(made[1]).toMatchObject({ message: { recalled: true, parts: [] } });
  });

  it("end with the reply that used up the quota, unless it was taken back", () => {
    expect(rows([own(1, { closes: "quota" })]).at(-1)).toMatchObject({ event: { name: "closed", cause: "quota", reason: null } });
    const back = rows([own(1, { closes: "quota" }), own(2, { kind: "recall", recalls: 1, parts: [] })]);
    expect(back.map((row) => row.kind)).toEqual(["day", "message"]);
  });

  it("tell the doctor's reason where the order was given back, and none where the code alone is known", () => {
    expect(rows([system(1, "closed", { reason: "请到线下就诊" }, "declined")]).at(-1)).toMatchObject({ event: { cause: "declined", reason: "请到线下就诊" } });
    expect(rows([system(1, "closed", { reason: "expired" }, "expired")]).at(-1)).toMatchObject({ event: { cause: "expired", reason: null } });
  });

  it("say how far an own message came by the other's marks", () => {
    const log = withReceipt(withMessages(emptyLog(TALK), [own(1), own(2), own(3)]), { conversation_id: TALK, account_id: OTHER, delivered_seq: 2, read_seq: 1 });
    const made = rowsOf(log, [], OWN).flatMap((row) => (row.kind === "message" ? [row.progress] : []));
    expect(made).toEqual(["read", "delivered", "sent"]);
  });

  it("join what one sender wrote within five minutes", () => {
    const made = rows([message(1), message(2, { sent_at: "2026-11-22T08:04:59.000Z" }), message(3, { sent_at: "2026-11-22T08:10:00.000Z" }), own(4)]);
    expect(made.flatMap((row) => (row.kind === "message" ? [row.first] : []))).toEqual([true, false, true, true]);
  });

  it("link a correction with what it corrects", () => {
    const made = rows([own(1), own(2, { corrects: 1 })]).filter((row) => row.kind === "message");
    expect(made.map((row) => [row.corrected, row.corrects?.seq ?? null])).toEqual([[true, null], [false, 1]]);
  });

  it("offer to take back one's own message alone, and before the last instant of the window", () => {
    const at = Date.parse("2026-11-22T08:00:00.000Z");
    expect(mayRecall(own(1), OWN, at + 119_999, 120_000)).toBe(true);
    expect(mayRecall(own(1), OWN, at + 120_000, 120_000)).toBe(false);
    expect(mayRecall(message(1), OWN, at, 120_000)).toBe(false);
  });
});

describe("a draft", () => {
  it("is words first, then pictures and recordings in the order of adding, and nothing while it is empty", () => {
    const draft = new DraftHolder();
    expect(piecesOf(draft.get())).toBeNull();
    const blob = new Blob(["1"]);
    draft.add("image", blob);
    draft.setText(" 请看图 ");
    expect(piecesOf(draft.get())).toEqual([{ kind: "text", text: "请看图" }, { kind: "image", blob, durationMs: null, media_id: null }]);
    draft.remove(draft.get().files[0]!.id);
    expect(piecesOf(draft.get())).toEqual([{ kind: "text", text: "请看图" }]);
  });

  it("takes eight files beside the words and no more", () => {
    const draft = new DraftHolder();
    for (let count = 0; count < 12; count += 1) draft.add("image", new Blob(["1"]));
    expect(draft.get().files).toHaveLength(8);
  });

  it("puts a ready-made sentence behind what is written", () => {
    const draft = new DraftHolder();
    draft.insert("您好");
    draft.insert("请复查");
    expect(draft.get().text).toBe("您好\n请复查");
  });
});

describe("pictures and clips on their way", () => {
  const memory = (): WaitingStore & { kept: Map<string, Waiting> } => {
    const kept = new Map<string, Waiting>();
    return {
      kept, list: async (account) => [...kept.values()].filter((item) => item.account_id === account),
      put: async (item) => void kept.set(item.client_id, item), remove: async (id) => void kept.delete(id),
    };
  };
  const clip: FilePiece = { kind: "voice", blob: new Blob(), durationMs: null, media_id: null };
  const item = { client_id: "x", account_id: "me", conversation_id: "c", written_at: 1, corrects: 7, pieces: [{ kind: "text" as const, text: "听" }, clip] };

  it("wait for a connection, then are sent once under their own id", async () => {
    const sent: unknown[] = [];
    const store = memory();
    const queue = new MediaQueue(store, async () => "media-1");
    await queue.add(item);
    expect([queue.all().length, store.kept.size]).toEqual([1, 1]);
    queue.connect({ send: async (...given) => sent.push(given) });
    await settled();
    expect(sent).toEqual([["c", [{ kind: "text", text: "听" }, { kind: "voice", media_id: "media-1" }], 7, "x"]]);
    expect([queue.all().length, store.kept.size]).toEqual([0, 0]);
  });

  it("are not uploaded again when the page ended between upload and sending", async () => {
    const store = memory();
    let uploads = 0;
    const put = async (): Promise<string> => `media-${uploads += 1}`;
    const first = new MediaQueue(store, put);
    await first.add(item);
    first.connect({ send: async () => { throw new ApiError("network.offline", "network"); } });
    await settled();
    const later = new MediaQueue(store, put);
    const sent: unknown[] = [];
    await later.load("me");
    later.connect({ send: async (_, parts) => sent.push(parts) });
    await settled();
    expect([uploads, sent]).toEqual([1, [[{ kind: "text", text: "听" }, { kind: "voice", media_id: "media-1" }]]]);
  });

  it("say why they were refused, and go on when asked to", async () => {
    let refuse = true;
    const queue = new MediaQueue(memory(), async () => {
      if (refuse) throw new ApiError("media.damaged", "invalid");
      return "media-1";
    });
    queue.connect({ send: async () => undefined });
    await queue.add(item);
    await settled();
    expect(queue.all().map(({ state, code }) => [state, code])).toEqual([["failed", "media.damaged"]]);
    refuse = false;
    await queue.retry("x");
    await settled();
    expect(queue.all()).toEqual([]);
  });

  it("are not sent once whoever wrote them has signed out", async () => {
    let arrive: (id: string) => void = () => undefined;
    const sent: unknown[] = [];
    const queue = new MediaQueue(memory(), () => new Promise((done) => (arrive = done)));
    queue.connect({ send: async (...given) => sent.push(given) });
    await queue.add(item);
    queue.forget();
    arrive("media-1");
    await settled();
    expect([sent, queue.all()]).toEqual([[], []]);
  });
});

describe("pictures that are shown", () => {
  const fetched: string[] = [];
  const api = {
    call: async (_: string, { path }: { path: { media_id: string } }) => ({ url: path.media_id }),
    bytes: async (url: string) => {
      fetched.push(url);
      if (url === "gone") throw new ApiError("media.not_found", "not_found");
      return new Blob([url]);
    },
  };
  const cache = (): MediaCache => new MediaCache(api as never, async () => undefined);

  it("are fetched once for all places that show them, and again only when they were dropped", async () => {
    fetched.length = 0;
    const held = cache();
    held.hold("a", null);
    held.hold("a", null)();
    await settled();
    expect([held.get("a", null).state, fetched]).toEqual(["there", ["a"]]);
    for (let n = 0; n < 90; n += 1) held.hold(`x${String(n)}`, null)();
    await settled();
    expect(held.get("a", null).state).toBe("there"); // it is shown: others go first
    expect(held.get("x0", null).state).toBe("loading");
  });

  it("say that they failed after a second try, and come when asked again", async () => {
    fetched.length = 0;
    const held = cache();
    held.hold("gone", "thumbnail");
    await settled();
    expect([held.get("gone", "thumbnail").state, fetched]).toEqual(["failed", ["gone", "gone"]]);
    held.keep("gone", "thumbnail", new Blob(["1"]));
    expect(held.get("gone", "thumbnail").state).toBe("there");
  });
});

describe("a recording's picture", () => {
  it("is flat where it is silent and full where it is loudest", () => {
    expect(loudness(new Float32Array(8))).toBe(0);
    expect(bars(new Float32Array([0, 0, 0.1, -0.1, 0.2, -0.2]), 3)).toEqual([0, 0.5, 1].map((each) => expect.closeTo(each, 5) as number));
  });

  it("tells its length in minutes and seconds", () => {
    expect([clock(0), clock(7_400), clock(60_000)]).toEqual(["0:00", "0:07", "1:00"]);
  });
});
