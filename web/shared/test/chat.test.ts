import { describe, expect, it, vi } from "vitest";
import { ApiError } from "../src/api/errors";
import { DraftHolder, partsOf } from "../src/chat/draft";
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
  const holder = (upload: () => Promise<unknown>): DraftHolder => new DraftHolder({ upload: upload as never });

  it("is no message while a picture of it is on its way, then words and pictures in their order", async () => {
    let arrived: (kept: object) => void = () => undefined;
    const draft = holder(() => new Promise((done) => (arrived = done)));
    draft.setText(" 请看图 ");
    draft.add("image", new Blob(["1"]));
    expect(partsOf(draft.get())).toBeNull();
    arrived({ media_id: "m1" });
    await settled();
    expect(partsOf(draft.get())).toEqual([{ kind: "text", text: "请看图" }, { kind: "image", media_id: "m1" }]);
  });

  it("keeps a picture whose upload failed, says why, and tries again", async () => {
    const upload = vi.fn().mockRejectedValueOnce(new ApiError("media.too_large", "invalid")).mockResolvedValueOnce({ media_id: "m2" });
    const draft = holder(upload);
    draft.add("voice", new Blob(["1"]), 2_000);
    await settled();
    expect(draft.get().files[0]).toMatchObject({ state: "failed", code: "media.too_large" });
    draft.retry(draft.get().files[0]!.id);
    await settled();
    expect(partsOf(draft.get())).toEqual([{ kind: "voice", media_id: "m2" }]);
  });

  it("takes eight files beside the words and no more", () => {
    const draft = holder(() => new Promise(() => undefined));
    for (let count = 0; count < 12; count += 1) draft.add("image", new Blob(["1"]));
    expect(draft.get().files).toHaveLength(8);
  });

  it("puts a ready-made sentence behind what is written", () => {
    const draft = holder(() => new Promise(() => undefined));
    draft.insert("您好");
    draft.insert("请复查");
    expect(draft.get().text).toBe("您好\n请复查");
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
