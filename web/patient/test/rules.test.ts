import { describe, expect, it } from "vitest";
import { isKept } from "../src/offline/copies";
import { mayAskForTheFee, mayCancel, mayRate, repliesLeft, timeline } from "../src/orders/state";
import { type PatientForm, check, dayInChina, isMinor, isResidentNumber, needsGuardian } from "../src/patients";
import type { Order } from "../src/queries";
import { bodyOf, bytesOf, same } from "../src/push";
import { around, searchable } from "../src/search";
import { walletAddress } from "../src/screens/Pay";

function order(more: Partial<Order> = {}): Order {
  return {
    id: "o", number: "1", status: "awaiting_doctor", kind: "consult", doctor: { id: "d", name: "王建国", title: "主任医师", department: "心内科" },
    patient: { id: "p", name: "李小明", sex: "male", age: 40 }, complaint: "胸闷", image_ids: [], fee_fen: 1000, refunded_fen: 0,
    replies: { limit: 3, used: 0, gifted: 0 }, conversation_id: "c", created_at: "2026-11-22T08:00:00.000Z", paid_at: "2026-11-22T08:01:00.000Z",
    deadline_at: "2026-11-24T08:01:00.000Z", closed_at: null, close_reason: null, rating: null, unpaid_until: "2026-11-22T08:30:00.000Z",
    record_access: true, quick: null, after_sales: null, version: 1, ...more,
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
    const asked = { state: "requested", amount_fen: null, asked_at: "2026-11-22T09:00:00.000Z", decided_at: null } as const;
    expect([
      mayAskForTheFee(order({ status: "awaiting_doctor" })), mayAskForTheFee(order({ status: "in_session" })), mayAskForTheFee(order({ status: "completed" })),
      mayAskForTheFee(order({ status: "completed", after_sales: asked })), mayAskForTheFee(order({ status: "refunded" })),
    ]).toEqual([false, true, true, false, false]);
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

it("only lists and orders that loaded are kept for reading offline, never looks at records", () => {
  const asked = (name: string, status: "success" | "error" = "success"): boolean => isKept({ queryKey: [name], state: { status } } as unknown as Parameters<typeof isKept>[0]);
  expect([asked("orders"), asked("orders", "error"), asked("record-views"), asked("me"), asked("consent")]).toEqual([true, false, false, false, false]);
});

it("a payment leads only to a web address", () => {
  expect(walletAddress({ params: { h5_url: "https://pay.example/x" } })).toBe("https://pay.example/x");
  expect([walletAddress({ params: { h5_url: "javascript:alert(1)" } }), walletAddress({ params: {} })]).toEqual([null, null]);
});

describe("a search", () => {
  it("shows the words around the first place and marks every one", () => {
    expect(around("您好，请复查血常规，复查后告诉我", "复查")).toEqual([
      { text: "您好，请", found: false }, { text: "复查", found: true }, { text: "血常规，", found: false }, { text: "复查", found: true }, { text: "后告诉我", found: false },
    ]);
    const long = around(`${"前".repeat(40)}Fever${"后".repeat(200)}`, "fever");
    expect([long[0]!.text, long[1], long[2]!.text.endsWith("…")]).toEqual([`…${"前".repeat(16)}`, { text: "Fever", found: true }, true]);
  });

  it("takes two characters side by side, as the server does", () => {
    expect(["复查", "a1", "膝", "a b", "，。"].map(searchable)).toEqual([true, true, false, false, false]);
  });
});

it("a browser's subscription goes to the server with its keys, or not at all", () => {
  const keys = { p256dh: "p", auth: "a" };
  expect(bodyOf({ endpoint: "https://push.example/1", keys })).toEqual({ subscription: { channel: "web", endpoint: "https://push.example/1", keys } });
  expect(bodyOf({ endpoint: "https://push.example/1" })).toBeNull();
  expect([...bytesOf("-_8")]).toEqual([251, 255]);
});

it("a browser that subscribed for another key of the server's, or for none, is known by it", () => {
  const key = bytesOf("BAEC");
  expect([same(bytesOf("BAEC").buffer, key), same(bytesOf("BAED").buffer, key), same(bytesOf("BAECAw").buffer, key), same(null, key)]).toEqual([true, false, false, false]);
});
