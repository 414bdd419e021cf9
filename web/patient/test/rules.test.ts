import { describe, expect, it } from "vitest";
import type { Message, OutboxItem } from "@yunzhen/shared";
import { rowsOf } from "../src/chat/rows";
import { clipLength, peaksOf } from "../src/chat/voice";
import { spanOf } from "../src/chat/windowing";
import { type Piece, MediaQueue, type Waiting, type WaitingStore } from "../src/media/queue";
import { isKept } from "../src/offline/copies";
import { mayCancel, mayRate, repliesLeft, timeline } from "../src/orders/state";
import { type PatientForm, check, dayInChina, isMinor, isResidentNumber, needsGuardian } from "../src/patients";
import type { Order } from "../src/queries";
import { walletAddress } from "../src/screens/Pay";
import { ApiError } from "@yunzhen/shared";

function order(more: Partial<Order> = {}): Order {
  return {
    id: "o", number: "1", status: "awaiting_doctor", kind: "consult", doctor: { id: "d", name: "王建国", title: "主任医师", department: "心内科" },
    patient: { id: "p", name: "李小明", sex: "male", age: 40 }, complaint: "胸闷", image_ids: [], fee_fen: 1000, refunded_fen: 0,
    replies: { limit: 3, used: 0, gifted: 0 }, conversation_id: "c", created_at: "2026-11-22T08:00:00.000Z", paid_at: "2026-11-22T08:01:00.000Z",
    deadline_at: "2026-11-24T08:01:00.000Z", closed_at: null, close_reason: null, rating: null, unpaid_until: "2026-11-22T08:30:00.000Z",
    record_access: true, version: 1, ...more,
  };
}

function message(seq: number, more: Partial<Message> = {}): Message {
  return {
    conversation_id: "c", seq, kind: "message", client_id: `m${seq}`, sender: { account_id: "doc", role: "doctor", name: "王建国" },
    parts: [{ kind: "text", text: String(seq) }], sent_at: "2026-11-22T08:00:00.000Z", recalled: false, recalls: null, corrects: null, closes: null, ...more,
  };
}

describe("an order's timeline", () => {
  const states = (given: Order): string[] => timeline(given).map((step) => `${step.key}:${step.state}`);

  it("names what comes next while it runs", () => {
    expect(states(order())).toEqual(["placed:done", "paid:done", "replied:now", "closed:ahead"]);
    expect(states(order({ paid_at: null, status: "pending_payment" }))).toEqual(["placed:done", "paid:now", "replied:ahead", "closed:ahead"]);
  });

  it("follows the money back", () => {
    const closed = { closed_at: "2026-11-24T08:01:00.000Z", close_reason: "expired" } as const;
    expect(states(order({ ...closed, status: "refunding" }))).toEqual(["placed:done", "paid:done", "closed:done", "refunding:done", "refunded:now"]);
    expect(states(order({ ...closed, status: "refunded" })).at(-1)).toBe("refunded:done");
  });

  it("leaves out what never happened to an order that nobody paid", () => {
    expect(states(order({ paid_at: null, status: "cancelled", closed_at: "2026-11-22T08:30:00.000Z" }))).toEqual(["placed:done", "closed:done"]);
  });

  it("knows what a patient may do", () => {
    expect([mayCancel(order()), mayCancel(order({ status: "in_session", replies: { limit: 3, used: 1, gifted: 0 } }))]).toEqual([true, false]);
    expect([mayRate(order({ status: "completed" })), mayRate(order({ status: "refunded" }))]).toEqual([true, false]);
    expect(repliesLeft(order({ replies: { limit: 2, used: 3, gifted: 0 } }))).toBe(0);
  });
});

describe("a patient's form", () => {
  const form = (more: Partial<PatientForm>): PatientForm => ({
    name: "李小明", id_type: "resident", id_number: "11010519491231002X", phone: "13800000001", birth_date: "", sex: "", guardian_name: "", guardian_id: "",
    default: false, ...more,
  });

  it("checks the last character and the day of a resident number", () => {
    expect(["11010519491231002X", "11010519491231002x", "110105194912310021", "11010519490231002X", "1"].map(isResidentNumber)).toEqual([true, true, false, false, false]);
  });

  it("asks for a guardian until the eighteenth birthday", () => {
    expect([isMinor("2008-11-23", "2026-11-22"), isMinor("2008-11-22", "2026-11-22")]).toEqual([true, false]);
    expect(needsGuardian(form({ id_type: "birth_certificate" }), "2026-11-22")).toBe(true);
    expect(check(form({ id_type: "passport", id_number: "E1234567", birth_date: "2020-01-01", sex: "female" }), "2026-11-22")).toEqual({
      guardian_name: "guardian_name", guardian_id: "guardian_id",
    });
    const same = form({ id_type: "passport", id_number: "11010519491231002X", birth_date: "2020-01-01", sex: "male", guardian_name: "王", guardian_id: "11010519491231002x" });
    expect(check(same, "2026-11-22")).toEqual({ guardian_id: "guardian_same" });
  });

  it("lets a whole one pass, and says what is missing at its field", () => {
    expect(check(form({}), "2026-11-22")).toEqual({});
    expect(check(form({ name: " ", phone: "12800000001", id_number: "1" }), "2026-11-22")).toEqual({ name: "name", phone: "phone", id_number: "id_number" });
  });

  it("takes the day in China", () => {
    expect(dayInChina(Date.parse("2026-11-22T16:00:00Z"))).toBe("2026-11-23");
  });
});

describe("a conversation's rows", () => {
  const given = { pending: [], waiting: [], me: "me", readTo: null };
  const kinds = (messages: Message[], more = {}): string[] => rowsOf({ ...given, messages, ...more }).map((row) => row.kind);

  it("say the time where five minutes passed, and not the recalls themselves", () => {
    const log = [message(1, { kind: "opened" }), message(2, { recalled: true, parts: [] }), message(3, { kind: "recall", recalls: 2 }), message(4, { sent_at: "2026-11-22T08:06:00.000Z" })];
    expect(kinds(log)).toEqual(["time", "opened", "recalled", "time", "message"]);
  });

  it("mark where the new ones of others begin, once", () => {
    const mine = { sender: { account_id: "me", role: "patient", name: "我" } } as Partial<Message>;
    expect(kinds([message(1), message(2, mine), message(3), message(4)], { readTo: 1 })).toEqual(["time", "message", "message", "unread", "message", "message"]);
  });

  it("show what is on its way once, whichever of the three places it is in", () => {
    const pending = [{ client_id: "m2" }, { client_id: "a" }] as OutboxItem[];
    const waiting = [{ client_id: "a" }, { client_id: "b" }, { client_id: "m1" }] as Waiting[];
    expect(rowsOf({ ...given, messages: [message(1), message(2)], pending, waiting }).map((row) => row.key)).toEqual(["t1", "m1", "m2", "a", "b"]);
  });
});

describe("the window on a long list", () => {
  it("shows the end of two thousand rows, and the middle, with all of their height", () => {
    const height = (): number => 80;
    expect(spanOf(2000, height, 0, 800, 400)).toEqual({ start: 1985, end: 2000, above: 1985 * 80, below: 0 });
    const middle = spanOf(2000, height, 80_000, 800, 400);
    expect(middle.above + middle.below + (middle.end - middle.start) * 80).toBe(160_000);
    expect(middle.end - middle.start).toBeLessThan(25);
    expect([middle.below <= 80_000 - 400, middle.below + (middle.end - middle.start) * 80 >= 80_000 + 800]).toEqual([true, true]);
  });

  it("shows all of a short one", () => {
    expect(spanOf(3, () => 50, 0, 800, 400)).toEqual({ start: 0, end: 3, above: 0, below: 0 });
  });
});

describe("a voice clip", () => {
  it("is drawn by its loudest stretches and told by its length", () => {
    expect(peaksOf(Float32Array.from([0, 0.1, -0.5, 0.2]), 2)).toEqual([expect.closeTo(0.2), 1]);
    expect(peaksOf(new Float32Array(4), 2)).toEqual([0, 0]);
    expect([clipLength(0.2), clipLength(7.4), clipLength(65)]).toEqual(["1″", "7″", "1′05″"]);
  });
});

describe("pictures and clips on their way", () => {
  const memory = (): WaitingStore & { kept: Map<string, Waiting> } => {
    const kept = new Map<string, Waiting>();
    return {
      kept, list: async () => [...kept.values()], put: async (item) => void kept.set(item.client_id, item),
      remove: async (id) => void kept.delete(id), clear: async () => kept.clear(),
    };
  };
  const item = { client_id: "x", account_id: "me", conversation_id: "c", written_at: 1, pieces: [{ kind: "voice", blob: new Blob(), media_id: null } satisfies Piece] };
  const settled = (): Promise<void> => new Promise((done) => setTimeout(done, 0));

  it("wait for a connection, then are sent once under their own id", async () => {
    const sent: unknown[] = [];
    const store = memory();
    const queue = new MediaQueue(store, async () => "media-1");
    await queue.add(item);
    expect([queue.all().length, store.kept.size]).toEqual([1, 1]);
    queue.connect({ send: async (...given) => sent.push(given) });
    await settled();
    expect(sent).toEqual([["c", [{ kind: "voice", media_id: "media-1" }], null, "x"]]);
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
    expect([uploads, sent]).toEqual([1, [[{ kind: "voice", media_id: "media-1" }]]]);
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
});

it("only lists and orders that loaded are kept for reading offline, never looks at records", () => {
  const asked = (name: string, status: "success" | "error" = "success"): boolean => isKept({ queryKey: [name], state: { status } } as unknown as Parameters<typeof isKept>[0]);
  expect([asked("orders"), asked("orders", "error"), asked("record-views"), asked("me"), asked("consent")]).toEqual([true, false, false, false, false]);
});

it("a payment leads only to a web address", () => {
  expect(walletAddress({ params: { h5_url: "https://pay.example/x" } })).toBe("https://pay.example/x");
  expect([walletAddress({ params: { h5_url: "javascript:alert(1)" } }), walletAddress({ params: {} })]).toEqual([null, null]);
});
