import { expect, test } from "vitest";
import { AREAS, type Area, ROLES, givable, homeOf, keeperOf, maySee, otherOffice, withRole } from "../src/rules/areas";
import { path, place, shownLabels, ticks } from "../src/rules/charts";
import { toCsv } from "../src/rules/csv";
import { rungs } from "../src/rules/ladder";
import { fenOf, yuanOf } from "../src/rules/money";
import { moved, piecesOf } from "../src/rules/sentences";
import { type Dossier, type Row, story } from "../src/rules/story";

const row = (audit_id: string, at: string, action: string, more: Partial<Row> = {}): Row => ({
  audit_id, at: `2026-01-05T02:00:${at}.000Z`, actor: { account_id: "p", role: "patient" }, action, subject: "s", order_id: "o", outcome: "ok", request_id: "r", ...more,
});
const NOTHING: Dossier = { people: [], entries: [], postings: [], payments: [], refunds: [], views: [], deadlines: { holds: true, waiting: false, decisions: [], findings: [] } };

test("each role sees its own doors and no other", () => {
  const doors = (role: Parameters<typeof maySee>[0][number]): Area[] => (Object.keys(AREAS) as Area[]).filter((area) => maySee([role], area));
  expect(doors("operator")).toEqual(["staff", "hl7"]);
  expect(doors("finance")).toEqual(["board", "refunds", "restart", "figures"]);
  expect(doors("agent")).toEqual(["board", "orders", "tasks"]);
  expect(doors("auditor")).toEqual(["board", "orders", "dossier", "export", "audit", "trace", "said", "reveals", "revealAsk", "staff"]);
  expect(maySee([], "board")).toBe(false);
  expect([homeOf(["operator"]), homeOf(["operator", "agent"]), homeOf([])]).toEqual(["/staff", "/", "/account"]);
});

test("a file for spreadsheets quotes what must be quoted, and holds no formula", () => {
  expect(toCsv([["a", 1, null], ['say "hi", you', "two\nlines", "=1+1"], ["-5", "@x", "x=1"]])).toBe(
    '\uFEFFa,1,\r\n"say ""hi"", you","two\nlines",\'=1+1\r\n\'-5,\'@x,x=1\r\n',
  );
});

test.each([[0, [0, 1]], [3, [0, 1, 2, 3]], [7, [0, 2, 4, 6, 8]], [10, [0, 5, 10]], [100, [0, 25, 50, 75, 100]], [123_456, [0, 50_000, 100_000, 150_000]]])(
  "an axis up to %i has even, round steps", (largest, steps) => expect(ticks(largest)).toEqual(steps),
);

test("points spread over the box, and nothing lies on its floor", () => {
  expect(path(place([0, 5, 10], 10, 100, 50))).toBe("M0.0 50.0L50.0 25.0L100.0 0.0");
  expect(place([4], 4, 100, 50)).toEqual([{ x: 50, y: 0 }]);
  expect([...shownLabels(30, 8)].sort((a, b) => a - b)).toEqual([1, 5, 9, 13, 17, 21, 25, 29]);
});

test.each([["50", 5000], ["0.01", 1], ["12.3", 1230], ["100000", 10_000_000], ["0", null], ["100000.01", null], ["1.234", null], ["-1", null], ["", null], ["1e3", null]])(
  "%s yuan are %s fen", (text, fen) => expect(fenOf(text)).toBe(fen),
);

test("fen become the yuan that people write", () => expect([5000, 1, 1230].map(yuanOf)).toEqual(["50", "0.01", "12.30"]));

test("a ladder is read into rungs, and nonsense is none", () => {
  expect(rungs("12h:notice,1h:notice+task")).toEqual([{ left: "12h", means: ["notice"] }, { left: "1h", means: ["notice", "task"] }]);
  expect([rungs("none"), rungs("12h"), rungs("12h:shout")]).toEqual([[], null, null]);
});

test("a story tells rows, words, money and looks in one order, each thing once", () => {
  const rows = [
    row("2", "02", "im.message", { subject: "c:2", request_id: null }),
    row("1", "01", "billing.payment_captured"),
    row("3", "03", "record.page_viewed", { subject: "00aa", actor: { account_id: "d", role: "doctor" } }),
    row("4", "04", "consult.order_viewed", { outcome: "denied" }),
  ];
  const dossier: Dossier = {
    ...NOTHING,
    people: [{ account_id: "d", name: "Li" }],
    entries: [{ seq: 2, at: rows[0]!.at, kind: "message", sender: "p", role: "patient", parts: [{ kind: "text", text: "hello" }], recalled: false, recalls: null, corrects: null, closes: null }],
    postings: [{ at: "2026-01-05T02:00:01.000Z", entry: "captured", payment_id: "x", amount_fen: 5000 }],
    views: [{ view_id: "00aa", at: rows[2]!.at, doctor_id: "d", doctor_name: "Li", record_id: "r", title: "Blood", page: 1 }],
  };
  const lines = story(rows, dossier);
  expect(lines.map((line) => [line.action, line.group, line.amountFen])).toEqual([
    ["money.captured", "money", 5000], ["im.message", "said", null], ["record.page_viewed", "records", null], ["consult.order_viewed", "order", null],
  ]);
  expect(lines[1]!.entry?.parts).toEqual([{ kind: "text", text: "hello" }]);
  expect([lines[2]!.view?.title, lines[2]!.actor?.name, lines[3]!.denied]).toEqual(["Blood", "Li", true]);
});

test("without a dossier the rows of money are told themselves", () => {
  expect(story([row("1", "01", "billing.payment_captured")], null).map((line) => [line.action, line.entry, line.view])).toEqual([["billing.payment_captured", null, null]]);
});

test("auditors keep auditors, operators all others, and each agrees to what the other asks", () => {
  expect([keeperOf(["auditor"]), keeperOf(["medical_admin", "operator"]), otherOffice("auditor"), otherOffice("operator")]).toEqual(["auditor", "operator", "operator", "auditor"]);
  expect([givable(["auditor"], null), givable(["operator"], null)]).toEqual([["auditor"], ["medical_admin", "finance", "agent", "operator"]]);
  expect([givable(ROLES, ["auditor"]), givable(["auditor"], ["finance"])]).toEqual([["auditor"], []]);
  expect([withRole(["finance"], "auditor", true), withRole(["auditor"], "agent", true), withRole(["agent", "finance"], "agent", false)]).toEqual([["auditor"], ["agent"], ["finance"]]);
});

test("a sentence shows its places, and no other braces", () => {
  expect(piecesOf("{patient}您好，{dose}。{department}").map(({ place, text }) => place ?? text)).toEqual(["patient", "您好，{dose}。", "department"]);
  expect(piecesOf("")).toEqual([]);
});

test("a sentence moves by a step and never beyond the ends", () => {
  expect([moved(["a", "b", "c"], "b", 1), moved(["a", "b", "c"], "b", -1)]).toEqual([["a", "c", "b"], ["b", "a", "c"]]);
  expect([moved(["a", "b"], "b", 1), moved(["a", "b"], "a", -1), moved(["a"], "gone", 1)]).toEqual([null, null, null]);
});
