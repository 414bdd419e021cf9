import "fake-indexeddb/auto";
import { expect, test } from "vitest";
import { ServerClock } from "../src/socket/clock";
import { Realtime } from "../src/socket/realtime";
import { DeviceStore } from "../src/store";
import { FakeServer, MemoryStore, OTHER, OWN, TALK, message, settled } from "./fakes";

function client(server: FakeServer, outbox = new MemoryStore()): Realtime {
  return new Realtime({
    accountId: OWN, wire: server, clock: new ServerClock(), outbox, pause: async () => undefined,
    history: async (_, before) => server.log.filter((m) => before === null || m.seq < before).slice(-2),
  });
}

const text = (words: string): { kind: "text"; text: string }[] => [{ kind: "text", text: words }];
const shown = (live: Realtime): number[] => live.conversation(TALK).log.messages.map((m) => m.seq);

test("what is written offline is shown at once, and sent once in its order when the network is back", async () => {
  const server = new FakeServer();
  const live = client(server);
  await live.send(TALK, text("one"));
  await live.send(TALK, text("two"));
  expect(live.conversation(TALK).pending.map((item) => item.state)).toEqual(["queued", "queued"]);
  live.start();
  await settled();
  expect(server.texts()).toEqual(["one", "two"]);
  expect(live.conversation(TALK).pending).toEqual([]);
  expect(shown(live)).toEqual([1, 2]);
});

test("a message whose acknowledgement was lost is stored once, and shown once", async () => {
  const server = new FakeServer();
  server.faults = ["answer lost", "request lost"];
  const live = client(server);
  live.start();
  await live.send(TALK, text("only"));
  await settled();
  expect(server.texts()).toEqual(["only"]);
  expect(server.asked.filter(([command]) => command === "message.send")).toHaveLength(3);
  expect([shown(live), live.conversation(TALK).pending]).toEqual([[1], []]);
});

test("a refused message is marked failed with its reason; a retry sends it under the same id, a discard forgets it", async () => {
  const server = new FakeServer();
  server.faults = [{ code: "conversation.closed", kind: "conflict", fields: {} }, { code: "request.invalid", kind: "invalid", fields: {} }];
  const store = new MemoryStore();
  const live = client(server, store);
  live.start();
  const first = await live.send(TALK, text("first"));
  const second = await live.send(TALK, text("second"));
  await settled();
  expect(live.conversation(TALK).pending.map((item) => [item.state, item.code])).toEqual([
    ["failed", "conversation.closed"], ["failed", "request.invalid"],
  ]);
  await live.retry(first.client_id);
  await live.discard(second.client_id);
  await settled();
  expect(server.log.map((m) => m.client_id)).toEqual([first.client_id]);
  expect([...store.kept]).toEqual([]);
});

test("the outbox outlives the page, for its own account alone", async () => {
  const store = new DeviceStore("test");
  const closed = client(new FakeServer(), store as never);
  await closed.send(TALK, text("before the page closed"));
  await store.put({ ...(await store.list(OWN))[0]!, client_id: "of-another", account_id: "another" });
  const server = new FakeServer();
  const live = client(server, store as never);
  live.start();
  await expect.poll(() => server.texts()).toEqual(["before the page closed"]);
  await expect.poll(() => store.list(OWN)).toEqual([]);
  expect((await store.list("another")).map((item) => item.client_id)).toEqual(["of-another"]);
  await store.forget();
  expect(await store.list("another")).toEqual([]);
});

test("a hole in the numbers is filled by sync, page by page, before anything after it is shown", async () => {
  const server = new FakeServer();
  const live = client(server);
  live.start();
  await settled();
  server.log.push(...[1, 2, 3, 4, 5, 6, 7].map((seq) => message(seq)));
  server.emit("message.new", message(7));
  expect(shown(live)).toEqual([]);
  await settled();
  expect(shown(live)).toEqual([1, 2, 3, 4, 5, 6, 7]);
});

test("an entry that comes twice, or late, changes nothing", async () => {
  const server = new FakeServer();
  const live = client(server);
  live.start();
  await settled();
  for (const seq of [1, 2, 2, 1, 3, 3]) {
    if (server.log.length < seq) server.log.push(message(seq));
    server.emit("message.new", message(seq));
  }
  await settled();
  expect(shown(live)).toEqual([1, 2, 3]);
  expect(live.conversation(TALK).log.unread).toBe(3);
});

test("a number that the server does not know of is not waited for", async () => {
  const server = new FakeServer();
  const live = client(server);
  live.start();
  await settled();
  server.emit("message.new", message(9));
  await settled();
  expect(live.conversation(TALK).log.early).toEqual([]);
  expect(server.asked.length).toBeLessThan(6);
});

test("a recall empties what it names, also when it came before it", async () => {
  const server = new FakeServer();
  const live = client(server);
  live.start();
  await settled();
  server.log.push(message(1, { recalled: true, parts: [] }), message(2, { kind: "recall", recalls: 1, parts: [] }));
  server.emit("message.new", message(2, { kind: "recall", recalls: 1, parts: [] }));
  server.emit("message.new", message(1));
  await settled();
  expect(live.conversation(TALK).log.messages.map((m) => [m.seq, m.recalled, m.parts])).toEqual([[1, true, []], [2, false, []]]);
});

test("after a cut everything that happened meanwhile is there, and only that was asked for", async () => {
  const server = new FakeServer();
  server.log.push(message(1));
  const live = client(server);
  live.start();
  await settled();
  server.disconnect();
  expect(live.isConnected()).toBe(false);
  server.log.push(message(2));
  server.asked.length = 0;
  server.connect();
  await settled();
  expect(shown(live)).toEqual([1, 2]);
  expect(server.asked[0]).toEqual(["conversation.sync", { cursors: { [TALK]: 1 } }]);
});

test("another epoch makes the client forget what it has and ask from the beginning", async () => {
  const server = new FakeServer();
  server.log.push(message(1), message(2));
  const live = client(server);
  live.start();
  await settled();
  server.disconnect();
  server.log.length = 0;
  server.log.push(message(1, { parts: [{ kind: "text", text: "restored" }] }));
  server.epoch = 2;
  server.connect();
  await settled();
  expect(live.conversation(TALK).log.messages.map((m) => m.parts)).toEqual([[{ kind: "text", text: "restored" }]]);
});

test("a long conversation opens at its end, and goes back page by page", async () => {
  const server = new FakeServer();
  const live = client(server);
  server.log.push(...[1, 2, 3, 4, 5].map((seq) => message(seq)));
  await live.open(TALK);
  expect(shown(live)).toEqual([4, 5]);
  expect(await live.loadOlder(TALK)).toBe(true);
  expect(await live.loadOlder(TALK)).toBe(false);
  expect(shown(live)).toEqual([1, 2, 3, 4, 5]);
});

test("marks only rise, and a snapshot stays the same object until something in it changes", async () => {
  const server = new FakeServer();
  const live = client(server);
  const receipt = { conversation_id: TALK, account_id: OTHER, delivered_seq: 4, read_seq: 3 };
  server.emit("receipt", receipt);
  const before = live.conversation(TALK);
  expect(live.conversation(TALK)).toBe(before);
  server.emit("receipt", { ...receipt, delivered_seq: 2, read_seq: 1 });
  expect(live.conversation(TALK).log.receipts[OTHER]).toEqual(receipt);
  expect(live.conversation(TALK)).not.toBe(before);
});
