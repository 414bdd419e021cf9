import { describe, expect, it } from "vitest";
import type { Message } from "@yunzhen/shared";
import { AttachedHolder, type Card } from "../src/data/attached";
import { percent, span } from "../src/rules/figures";
import { dayOf } from "../src/rules/cards";
import { type Order, beside, filled, idAt, listed, newest, repliesLeft } from "../src/rules/orders";
import { snippetOf } from "../src/rules/search";
import { isWrong, proposal, sorted } from "../src/rules/schedule";

function order(id: string, more: Partial<Order> = {}): Order {
  return {
    id, number: id, status: "awaiting_doctor", kind: "consult", doctor: { id: "d", name: "王建国", title: "主任医师", department: "心内科" },
    patient: { id: "p", name: "李小明", sex: "male", age: 40 }, complaint: "胸闷", image_ids: [], fee_fen: 1000, refunded_fen: 0,
    replies: { limit: 3, used: 0, gifted: 0 }, conversation_id: `c-${id}`, created_at: "2026-11-22T08:00:00.000Z",
    paid_at: "2026-11-22T08:00:00.000Z", deadline_at: "2026-11-24T08:00:00.000Z", closed_at: null, close_reason: null, rating: null,
    unpaid_until: "2026-11-22T08:30:00.000Z", record_access: true, quick: null, after_sales: null, version: 1, ...more,
  };
}

describe("the desk's lists", () => {
  it("put the nearest deadline first, and the latest end first", () => {
    const late = order("a", { deadline_at: "2026-11-24T09:00:00.000Z" });
    const soon = order("b", { deadline_at: "2026-11-24T07:00:00.000Z" });
    expect(listed([late, soon], "waiting").map((each) => each.id)).toEqual(["b", "a"]);
    const ended = ["2026-11-20T00:00:00.000Z", "2026-11-21T00:00:00.000Z"].map((closed_at, at) => order(String(at), { status: "completed", closed_at }));
    expect(listed(ended, "finished").map((each) => each.id)).toEqual(["1", "0"]);
  });

  it("show no order before it is paid", () => {
    expect(listed([order("a", { status: "cancelled", paid_at: null })], "finished")).toEqual([]);
  });

  it("believe what was heard last, from wherever it came", () => {
    const [known] = newest([order("a")], [order("a", { status: "in_session", version: 2 })], [order("a")]);
    expect(known?.status).toBe("in_session");
  });
});

it("from patient to patient goes round the lists, and begins at their ends", () => {
  const lists = { waiting: [order("a"), order("b")], open: [order("c")] };
  expect(["a", "b", "c", null].map((id) => beside(lists, id, 1))).toEqual(["b", "c", "a", "a"]);
  expect(["a", "b", "c", "gone"].map((id) => beside(lists, id, -1))).toEqual(["c", "a", "b", "c"]);
  expect(beside({ waiting: [], open: [] }, "a", 1)).toBeNull();
  expect(["/doctor/orders/a-1", "/doctor/orders/a-1/", "/doctor/", "/doctor/notices"].map(idAt)).toEqual(["a-1", "a-1", null, null]);
});

it("what goes along with a reply stays, one card of a title, until it is sent", () => {
  const holder = new AttachedHolder();
  const card = (title: string, data = {}): Card => ({ title, part: { kind: "card", card: "booking", data } });
  let told = 0;
  holder.subscribe(() => void (told += 1));
  holder.add(card("心内科"));
  holder.add(card("血常规"));
  holder.add(card("心内科", { note: "空腹" }));
  expect(holder.get().cards.map(({ title, part }) => [title, part.data])).toEqual([["血常规", {}], ["心内科", { note: "空腹" }]]);
  holder.remove(holder.get().cards[0] as Card);
  expect(holder.get().cards.map(({ title }) => title)).toEqual(["心内科"]);
  holder.clear();
  expect([holder.get().cards, told]).toEqual([[], 5]);
});

describe("a reply", () => {
  const own = "a-1";
  const said = (seq: number, more: Partial<Message> = {}): Message => ({
    conversation_id: "c", seq, kind: "message", client_id: `client-${String(seq)}`, sender: { account_id: own, role: "doctor", name: "王建国" }, parts: [],
    sent_at: "2026-11-22T08:00:00.000Z", recalled: false, recalls: null, corrects: null, closes: null, ...more,
  });
  const used = (count: number): Order => order("a", { replies: { limit: 3, used: count, gifted: 0 } });
  const left = (heard: Order, messages: Message[], waiting: string[] = [], first = 1): number =>
    repliesLeft(heard, { own, log: { first, messages }, waiting: waiting.map((client_id) => ({ client_id, state: "queued" })) });

  it("is counted from the moment it is written, though it waits to be sent, and once while it is handed on", () => {
    expect([left(used(1), [said(2)]), left(used(1), [said(2)], ["x"]), left(used(1), [said(2)], ["x", "x"]), left(used(1), [said(2)], ["x", "y", "z"])]).toEqual([2, 1, 1, 0]);
  });

  it("that is acknowledged is used before the order says so, and used once when order, log and queue tell of it one after another", () => {
    const log = [said(2), said(3)];
    expect(left(used(1), log)).toBe(1);
    expect(left(used(1), log, ["client-3"])).toBe(1);
    expect(left(used(2), [said(2)], ["client-3"])).toBe(1);
    expect(left(used(2), log)).toBe(1);
  });

  it("that was refused or recalled, and what others said, is none", () => {
    const others = [said(2, { sender: { account_id: "p", role: "patient", name: "李小明" } }), said(3, { recalled: true }), said(4, { kind: "gift" })];
    expect(left(used(0), others)).toBe(3);
    expect(repliesLeft(used(0), { own, log: { first: 1, messages: [] }, waiting: [{ client_id: "x", state: "failed" }] })).toBe(3);
  });

  it("that lies before what is loaded is counted by the order", () => {
    expect(left(used(2), [said(80, { sender: { account_id: "p", role: "patient", name: "李小明" } })], ["x"], 80)).toBe(0);
  });

  it("made from a sentence at hand names patient, doctor and department, and leaves other braces alone", () => {
    expect(filled("{patient}您好，我是{department}{doctor}。{dose}", order("a"))).toBe("李小明您好，我是心内科王建国。{dose}");
  });
});

describe("the week", () => {
  it("is read by day and then by time", () => {
    const hours = [{ weekday: 2, from: "08:00", to: "12:00" }, { weekday: 1, from: "14:00", to: "17:00" }, { weekday: 1, from: "08:00", to: "12:00" }];
    expect(sorted(hours).map((each) => `${String(each.weekday)} ${each.from}`)).toEqual(["1 08:00", "1 14:00", "2 08:00"]);
  });

  it("takes an end only after its beginning", () => {
    expect([isWrong({ weekday: 1, from: "08:00", to: "08:00" }), isWrong({ weekday: 1, from: "08:00", to: "24:00" })]).toEqual([true, false]);
  });

  it("proposes the afternoon after a morning", () => {
    const morning = proposal([], 3);
    expect(proposal([morning], 3)).toEqual({ weekday: 3, from: "14:00", to: "17:30" });
  });
});

describe("figures", () => {
  it("never round up to a hundred per cent", () => {
    expect([percent(1), percent(0.9999), percent(0.9731), percent(0)]).toEqual(["100%", "99.9%", "97.3%", "0%"]);
  });

  it("are minutes below two hours, then hours", () => {
    expect([span(42), span(119.4), span(150)]).toEqual([
      { unit: "minutes", count: 42 }, { unit: "minutes", count: 119 }, { unit: "hours", count: 2.5 },
    ]);
  });
});

it("a hit shows the words round what was asked for, and its beginning where they are not literally there", () => {
  const text = "您好，资料我看过了。先观察体温和精神，超过 38.5℃ 可以用退热药，多饮水，不要捂。";
  expect(snippetOf(text, "退热药")).toEqual({ before: "…和精神，超过 38.5℃ 可以用", match: "退热药", after: "，多饮水，不要捂。" });
  expect(snippetOf("Fever\nsince  Monday", "SINCE")).toEqual({ before: "Fever ", match: "since", after: " Monday" });
  expect(snippetOf("甲乙", "丙")).toEqual({ before: "甲乙", match: "", after: "" });
});

it("a day of a booking is a day of this place's calendar", () => {
  expect(dayOf(new Date(2026, 10, 30, 23, 59), 1)).toBe("2026-12-01");
  expect(dayOf(new Date(2026, 0, 5))).toBe("2026-01-05");
});
