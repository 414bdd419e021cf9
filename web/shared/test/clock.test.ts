import { expect, test } from "vitest";
import { ServerClock } from "../src/socket/clock";
import { countdown, yuan } from "../src/format";

const SERVER = Date.parse("2026-11-22T08:00:00.000Z");

test("a device an hour ahead, or set back in between, counts down to the server's instant", () => {
  let steady = 1_000;
  let wall = SERVER + 3_600_000;
  const clock = new ServerClock(() => steady, () => wall);
  clock.learn(SERVER, 900);
  expect(clock.until("2026-11-22T08:00:10.000Z")).toBe(9_950);
  wall -= 86_400_000;
  steady += 5_000;
  expect(clock.until("2026-11-22T08:00:10.000Z")).toBe(4_950);
  steady += 60_000;
  expect(clock.until("2026-11-22T08:00:10.000Z")).toBe(0);
});

test("the answer that came fastest is believed, until a new connection", () => {
  let steady = 0;
  const clock = new ServerClock(() => steady, () => 0);
  steady = 10;
  clock.learn(SERVER, 0);
  steady = 2_010;
  clock.learn(SERVER + 60_000, 10);
  expect(clock.now()).toBe(SERVER + 2_005);
  clock.forget();
  clock.learn(SERVER + 60_000, 10);
  expect(clock.now()).toBe(SERVER + 61_000);
});

test("a countdown never shows zero while time is left, and money is exact", () => {
  expect([1, 1_000, 172_800_000, 0, -5].map(countdown)).toEqual(["00:00:01", "00:00:01", "48:00:00", "00:00:00", "00:00:00"]);
  expect([0, 5, 1_230, 5_000, 123_456_789, -250].map(yuan)).toEqual(["¥0", "¥0.05", "¥12.30", "¥50", "¥1,234,567.89", "-¥2.50"]);
});
