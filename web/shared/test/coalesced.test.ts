import "fake-indexeddb/auto";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Coalesced, onLeaving } from "../src/coalesced";
import { ServerClock } from "../src/socket/clock";
import type { Log } from "../src/socket/conversation";
import { Realtime } from "../src/socket/realtime";
import { DeviceStore } from "../src/store";
import { FakeServer, MemoryStore, OWN, TALK, message, settled } from "./fakes";

/** A page, as far as its end goes. */
class Page extends EventTarget {
  visibilityState: "visible" | "hidden" = "visible";
}

const KEEP_MS = 400;
let page: Page;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  page = new Page();
  vi.stubGlobal("document", page);
  vi.stubGlobal("addEventListener", page.addEventListener.bind(page));
  vi.stubGlobal("removeEventListener", page.removeEventListener.bind(page));
});

afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

interface Kept {
  live: Realtime;
  server: FakeServer;
  written: number[];
}

/** A conversation that is kept; `written`: the number of its last entry, with each write. */
async function talk(): Promise<Kept> {
  const server = new FakeServer();
  const written: number[] = [];
  const logs = { read: async () => undefined, write: async (log: Log) => void written.push(log.seq) };
  const live = new Realtime({ accountId: OWN, wire: server, clock: new ServerClock(), outbox: new MemoryStore(), history: async () => [], logs });
  live.start();
  await settled();
  return { live, server, written };
}

function arrive({ server }: Kept, seq: number): void {
  server.log.push(message(seq));
  server.emit("message.new", message(seq));
}

describe("what is put aside for reading offline", () => {
  it("is written once for all that changed meanwhile, as it is by then, and not before", async () => {
    const kept = await talk();
    for (const seq of [1, 2, 3, 4, 5]) arrive(kept, seq);
    vi.advanceTimersByTime(KEEP_MS - 1);
    expect(kept.written).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(kept.written).toEqual([5]);
    vi.advanceTimersByTime(10 * KEEP_MS);
    expect(kept.written).toEqual([5]);
  });

  it("does not wait for ever while changes never cease", async () => {
    const kept = await talk();
    for (let seq = 1; seq <= 12; seq += 1) {
      arrive(kept, seq);
      vi.advanceTimersByTime(KEEP_MS / 4);
    }
    expect(kept.written).toEqual([4, 8, 12]);
  });

  it.each(["pagehide", "hidden"])("is written at once when the page may be over (%s), and not once more", async (end) => {
    const kept = await talk();
    const stay = onLeaving(() => kept.live.flush());
    arrive(kept, 1);
    if (end === "hidden") page.visibilityState = "hidden";
    page.dispatchEvent(new Event(end === "hidden" ? "visibilitychange" : end));
    expect(kept.written).toEqual([1]);
    vi.advanceTimersByTime(KEEP_MS);
    expect(kept.written).toEqual([1]);
    stay();
    arrive(kept, 2);
    page.dispatchEvent(new Event("pagehide"));
    expect(kept.written).toEqual([1]);
  });

  it("is left alone while the page merely comes back into sight", async () => {
    const kept = await talk();
    onLeaving(() => kept.live.flush());
    arrive(kept, 1);
    page.dispatchEvent(new Event("visibilitychange"));
    expect(kept.written).toEqual([]);
  });

  it("is not written for whoever signed out, whatever comes later", async () => {
    const kept = await talk();
    onLeaving(() => kept.live.flush());
    arrive(kept, 1);
    kept.live.stop();
    arrive(kept, 2);
    page.dispatchEvent(new Event("pagehide"));
    vi.advanceTimersByTime(KEEP_MS);
    expect(kept.written).toEqual([]);
  });

  it("is there for the next page though the tab died at that very moment", async () => {
    vi.useRealTimers();
    const store = new DeviceStore("dying");
    const server = new FakeServer();
    const given = { accountId: OWN, wire: server, clock: new ServerClock(), outbox: store, history: async () => [], logs: store.logsOf(OWN) };
    const live = new Realtime(given);
    onLeaving(() => live.flush());
    live.start();
    await settled();
    server.log.push(message(1));
    server.emit("message.new", message(1));
    page.dispatchEvent(new Event("pagehide"));
    live.stop(); // nothing more of that page runs
    await expect.poll(async () => (await store.logsOf(OWN).read(TALK))?.seq).toBe(1);
  });
});

describe("what was written and is not sent", () => {
  it("is on the device before anything waits, so that no end of the page loses it", async () => {
    const store = new MemoryStore();
    const live = new Realtime({ accountId: OWN, wire: new FakeServer(), clock: new ServerClock(), outbox: store, history: async () => [] });
    await live.send(TALK, [{ kind: "text", text: "刚写的" }]);
    expect([...store.kept.values()].map(({ parts, state }) => [parts, state])).toEqual([[[{ kind: "text", text: "刚写的" }], "queued"]]);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("several things to write", () => {
  it("are each written once, in the order of their first asking, and forgotten when they are dropped", () => {
    const written: string[] = [];
    const writes = new Coalesced((key) => written.push(key), 100);
    for (const key of ["a", "b", "a", "c", "b"]) writes.ask(key);
    vi.advanceTimersByTime(100);
    writes.ask("d");
    writes.drop();
    vi.advanceTimersByTime(100);
    writes.flush();
    expect(written).toEqual(["a", "b", "c"]);
  });
});
