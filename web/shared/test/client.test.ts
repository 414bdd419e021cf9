import { expect, test } from "vitest";
import { Api, RequestKey } from "../src/api/client";
import { ApiError } from "../src/api/errors";
import { SessionHolder } from "../src/api/session";

const ACCOUNT = { account_id: "a", role: "patient", name: "李" };
type Asked = { path: string; headers: Record<string, string>; body: unknown };

/** A server of which the test says what it answers; it counts refreshes and refuses tokens that are not the latest. */
class Server {
  readonly asked: Asked[] = [];
  refreshes = 0;
  valid = "";
  signedIn = true;
  answers: ((asked: Asked) => Response | Promise<Response>)[] = [];

  readonly fetch = async (url: RequestInfo | URL, init: RequestInit = {}): Promise<Response> => {
    const path = (url as string).replace("/api/v1", "");
    const headers = (init.headers ?? {}) as Record<string, string>;
    const asked = { path, headers, body: init.body === null || init.body === undefined ? null : (JSON.parse(init.body as string) as unknown) };
    this.asked.push(asked);
    if (path === "/auth/cookie/refresh") return this.refresh();
    if (headers["Authorization"] !== `Bearer ${this.valid}`) return problem(401, "auth.required");
    init.signal?.throwIfAborted();
    return (this.answers.shift() ?? (() => Response.json({ items: [], next_cursor: null })))(asked);
  };

  private async refresh(): Promise<Response> {
    await Promise.resolve();
    if (!this.signedIn) return problem(401, "auth.invalid");
    this.refreshes += 1;
    this.valid = `token-${this.refreshes}`;
    return Response.json({ access_token: this.valid, expires_in_seconds: 900, refresh_token: null, account: ACCOUNT });
  }
}

const problem = (status: number, code: string, fields: object = {}): Response =>
  Response.json({ code, title: "", status, fields, request_id: "r" }, { status, headers: { "Content-Type": "application/problem+json" } });

function client(server: Server, now: () => number = () => 0): Api {
  const session = new SessionHolder({
    role: "patient", deviceId: "d", deviceName: "n", fetch: server.fetch, now, exclusive: (_, work) => work(),
  });
  return new Api(session, { fetch: server.fetch, pause: async () => undefined });
}

test("calls that all notice a token that ran out share one refresh and are asked again", async () => {
  const server = new Server();
  const api = client(server);
  await api.call("list_departments");
  server.valid = "revoked by the server";
  await Promise.all([api.call("list_departments"), api.call("list_patients"), api.call("get_me")]);
  expect(server.refreshes).toBe(2);
});

test("a token is refreshed a minute before it runs out", async () => {
  const server = new Server();
  let now = 0;
  const api = client(server, () => now);
  await api.call("get_me");
  now = 839_999;
  await api.call("get_me");
  expect(server.refreshes).toBe(1);
  now = 840_000;
  await api.call("get_me");
  expect(server.refreshes).toBe(2);
});

test("a write keeps its key and body over a lost answer, a part that is down and a token that ran out", async () => {
  const server = new Server();
  const api = client(server);
  await api.call("get_me");
  server.answers = [
    () => Promise.reject(new TypeError("network")),
    () => {
      server.valid = "another";
      return problem(503, "service.unavailable");
    },
    () => Response.json({ id: "order" }, { status: 201 }),
  ];
  await api.call("cancel_order", { path: { order_id: "a/b" }, body: {} });
  const writes = server.asked.filter(({ path }) => path === "/orders/a%2Fb/cancel");
  expect(writes).toHaveLength(4);
  expect(new Set(writes.map(({ headers }) => headers["Idempotency-Key"])).size).toBe(1);
  expect(server.refreshes).toBe(2);
});

test("a refusal is an error with its code and fields, and is not tried again", async () => {
  const server = new Server();
  server.answers = [() => problem(422, "request.invalid", { phone: "is wrong" })];
  const error = await client(server).call("list_patients").catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(ApiError);
  expect(error).toMatchObject({ code: "request.invalid", kind: "invalid", fields: { phone: "is wrong" }, requestId: "r" });
  expect(server.asked.filter(({ path }) => path === "/patients")).toHaveLength(1);
});

test("an abort by the caller is the caller's own, never a network error", async () => {
  const server = new Server();
  const gone = new AbortController();
  gone.abort(new Error("the screen is gone"));
  await expect(client(server).call("get_me", { signal: gone.signal })).rejects.toThrow("the screen is gone");
});

test("a session that is over signs out; one that only has no network stays unknown", async () => {
  const server = new Server();
  const cut = new SessionHolder({ role: "patient", deviceId: "d", deviceName: "n", fetch: () => Promise.reject(new TypeError()), exclusive: (_, work) => work() });
  await expect(cut.accessToken()).rejects.toMatchObject({ kind: "network" });
  expect(cut.getState()).toEqual({ status: "unknown" });
  const api = client(server);
  await api.call("get_me");
  server.signedIn = false;
  server.valid = "";
  await expect(api.call("get_me")).rejects.toMatchObject({ code: "auth.invalid" });
  expect(api.session.getState()).toEqual({ status: "out", reason: "expired" });
});

test("signing out while a refresh is under way is not undone by its answer", async () => {
  const server = new Server();
  const { session } = client(server);
  const late = session.accessToken().catch(() => "refused");
  session.end("signed_out_elsewhere");
  await late;
  expect(session.getState()).toEqual({ status: "out", reason: "signed_out_elsewhere" });
});

test("what may only have been lost is sent again under its key, and what was refused or done is not", () => {
  const key = new RequestKey();
  const first = key.current;
  for (const lost of [new ApiError("network.offline", "network"), new ApiError("service.unavailable", "unavailable")]) key.failed(lost);
  expect(key.current).toBe(first);
  key.failed(new ApiError("request.invalid", "invalid"));
  const second = key.current;
  key.done();
  expect(new Set([first, second, key.current]).size).toBe(3);
});
