import { describe, expect, it } from "vitest";
import { percent, span } from "../src/rules/figures";
import { dayOf } from "../src/rules/cards";
import { type Order, filled, listed, newest, repliesLeft } from "../src/rules/orders";
import { snippetOf } from "../src/rules/search";
import { isWrong, proposal, sorted } from "../src/rules/schedule";

function order(id: string, more: Partial<Order> = {}): Order {
  return {
    id, number: id, status: "awaiting_doctor", kind: "consult", doctor: { id: "d", name: "王建国", title: "主任医师", department: "心内科" },
    patient: { id: "p", name: "李小明", sex: "male", age: 40 }, complaint: "胸闷", image_ids: [], fee_fen: 1000, refunded_fen: 0,
    replies: { limit: 3, used: 0, gifted: 0 }, conversation_id: `c-${id}`, created_at: "2026-11-22T08:00:00.000Z",
    paid_at: "2026-11-22T08:00:00.000Z", deadline_at: "2026-11-24T08:00:00.000Z", closed_at: null, close_reason: null, rating: null,
    unpaid_until: "2026-11-22T08:30:00.000Z", record_access: true, quick: null, version: 1, ...more,
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

describe("a reply", () => {
  it("is counted from the moment it is written, though it waits to be sent", () => {
    const used = order("a", { replies: { limit: 4, used: 2, gifted: 1 } });
    expect([repliesLeft(used, 0), repliesLeft(used, 1), repliesLeft(used, 3)]).toEqual([2, 1, 0]);
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
