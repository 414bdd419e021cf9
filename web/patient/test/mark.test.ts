import { expect, test } from "vitest";
import { chatMark } from "../src/orders/mark";

const drawn = (name: string): string =>
  decodeURIComponent(chatMark({ patient: { id: "p", name, sex: "female", age: 8 }, number: "20261122ABCDEFGH" }).url.replace("data:image/svg+xml,", ""));

test("a picture of the chat says whose it is and which order", () => {
  expect([...drawn("陈小雨").matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map((found) => found[1])).toEqual(["陈小雨", "20261122ABCDEFGH"]);
});

test("a name is text in the mark, never markup", () => {
  expect(drawn("<script>&amp;")).toContain(">&lt;script>&amp;amp;</text>");
});
