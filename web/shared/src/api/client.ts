/**
 * The typed client of the HTTP interface: `api.call("create_order", { body })`. Names and types are those of docs/openapi.json.
 *
 * A write carries one Idempotency-Key over all its tries, so that what is sent twice happens once. What may pass (no network, a part
 * that is down) is tried again; a token that has run out is refreshed once, however many calls notice.
 */
import { ApiError, errorOf } from "./errors";
import { ROUTES } from "./routes";
import type { components, operations } from "./schema";
import type { ServerClock } from "../socket/clock";
import type { SessionHolder } from "./session";

export type Models = components["schemas"];
export type Operation = keyof typeof ROUTES & keyof operations;

type Parameters<O extends Operation> = operations[O]["parameters"];
type BodyOf<O extends Operation> = operations[O] extends { requestBody: { content: { "application/json": infer B } } }
  ? B
  : operations[O] extends { requestBody?: { content: { "application/json": infer B } } }
    ? unknown extends B ? never : B
    : never;
type AnswersOf<O extends Operation> = operations[O]["responses"];
type JsonOf<R> = R extends { content: { "application/json": infer J } } ? J : undefined;
export type AnswerOf<O extends Operation> = {
  [S in keyof AnswersOf<O>]: S extends 200 | 201 | 202 | 204 ? JsonOf<AnswersOf<O>[S]> : never;
}[keyof AnswersOf<O>];

type PathPart<O extends Operation> = Parameters<O> extends { path: infer P } ? { path: P } : { path?: never };
type QueryPart<O extends Operation> = Parameters<O> extends { query?: infer Q } ? { query?: NonNullable<Q> } : { query?: never };
type BodyPart<O extends Operation> = [BodyOf<O>] extends [never] ? { body?: never } : { body: BodyOf<O> };

export interface CallOptions {
  signal?: AbortSignal;
  timeoutMs?: number;
  /** Of a command that is tried again by hand: its key from before. Made here if not given. */
  idempotencyKey?: string;
}

export type CallInput<O extends Operation> = PathPart<O> & QueryPart<O> & BodyPart<O> & CallOptions;
type Given<O extends Operation> = object extends CallInput<O> ? [input?: CallInput<O>] : [input: CallInput<O>];

const BASE = "/api/v1";
const TIMEOUT_MS = 20_000;
const UPLOAD_TIMEOUT_MS = 120_000;
const TRIES = 3;
const PAUSE_MS = 400;

interface Request {
  method: string;
  url: string;
  body: string | FormData | null;
  json: boolean;
  key: string | null;
  signal: AbortSignal | undefined;
  timeoutMs: number;
}

export interface ApiOptions {
  /** Learns the server's time from every answer. */
  clock?: ServerClock;
  fetch?: typeof fetch;
  pause?: (ms: number) => Promise<void>;
}

/** A key for a command that the user may try again by hand. */
export const newKey = (): string => crypto.randomUUID();

/**
 * The idempotency key of what stands in a form. It stays while the answer may only have been lost on its way, so that what is sent
 * again is done once; once the server refused, or did it, what is sent next is another request.
 */
export class RequestKey {
  private key = newKey();

  get current(): string {
    return this.key;
  }

  readonly failed = (error: unknown): void => {
    if (!(error instanceof ApiError && error.mayPass)) this.done();
  };

  readonly done = (): void => {
    this.key = newKey();
  };
}

export class Api {
  private readonly fetch: typeof fetch;
  private readonly pause: (ms: number) => Promise<void>;
  private readonly clock: ServerClock | undefined;

  constructor(
    readonly session: SessionHolder,
    options: ApiOptions = {},
  ) {
    this.clock = options.clock;
    this.fetch = options.fetch ?? ((...given) => globalThis.fetch(...given));
    this.pause = options.pause ?? ((ms) => new Promise((done) => setTimeout(done, ms)));
  }

  /** Raises ApiError; an abort by `signal` raises its own reason. */
  async call<O extends Operation>(operation: O, ...[given]: Given<O>): Promise<AnswerOf<O>> {
    const input = (given ?? {}) as Partial<Record<"path" | "query", Record<string, unknown>>> & { body?: unknown } & CallOptions;
    const [method = "", template = ""] = ROUTES[operation].split(" ");
    const response = await this.send({
      method,
      url: BASE + fill(template, input.path ?? {}) + search(input.query ?? {}),
      body: input.body === undefined ? null : JSON.stringify(input.body),
      json: input.body !== undefined,
      key: method === "GET" ? null : (input.idempotencyKey ?? newKey()),
      signal: input.signal,
      timeoutMs: input.timeoutMs ?? TIMEOUT_MS,
    });
    return (response.status === 204 ? undefined : await response.json()) as AnswerOf<O>;
  }

  /** Keep a picture or a voice clip on the server. */
  async upload(file: Blob, purpose: "message" | "complaint", options: CallOptions = {}): Promise<Models["MediaAnswer"]> {
    const form = new FormData();
    form.append("purpose", purpose);
    form.append("file", file, file instanceof File ? file.name : "file");
    const timeoutMs = options.timeoutMs ?? UPLOAD_TIMEOUT_MS;
    const response = await this.send({
      method: "POST", url: `${BASE}/media`, body: form, json: false, key: null, signal: options.signal, timeoutMs,
    });
    return (await response.json()) as Models["MediaAnswer"];
  }

  /** An operation that takes a form with files. It is not tried again: nothing says that sending it twice is sending it once. */
  async submit<O extends Operation>(operation: O, form: FormData, options: CallOptions = {}): Promise<AnswerOf<O>> {
    const [method = "", template = ""] = ROUTES[operation].split(" ");
    const timeoutMs = options.timeoutMs ?? UPLOAD_TIMEOUT_MS;
    const response = await this.send({ method, url: BASE + template, body: form, json: false, key: null, signal: options.signal, timeoutMs });
    return (await response.json()) as AnswerOf<O>;
  }

  /** The bytes at an address of this server (a media link, a page of a record). The caller drops them when they are no longer shown. */
  async bytes(url: string, options: CallOptions = {}): Promise<Blob> {
    const timeoutMs = options.timeoutMs ?? UPLOAD_TIMEOUT_MS;
    const response = await this.send({ method: "GET", url, body: null, json: false, key: null, signal: options.signal, timeoutMs });
    return response.blob();
  }

  private async send(request: Request): Promise<Response> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.sendSignedIn(request);
      } catch (error) {
        request.signal?.throwIfAborted();
        const again = error instanceof ApiError && error.mayPass && error.kind !== "rate_limited" && attempt < TRIES;
        const harmless = request.method === "GET" || request.key !== null;
        if (!again || !harmless) throw error;
        await this.pause(PAUSE_MS * 2 ** (attempt - 1));
      }
    }
  }

  private async sendSignedIn(request: Request): Promise<Response> {
    const open = request.url.startsWith(`${BASE}/auth/`) && request.method === "POST";
    const token = open ? null : await this.session.accessToken();
    const response = await this.once(request, token);
    if (response.ok) return response;
    const error = await errorOf(response);
    if (token === null || error.code !== "auth.required") throw error;
    const retried = await this.once(request, await this.session.accessToken(token));
    if (retried.ok) return retried;
    throw await errorOf(retried);
  }

  private async once(request: Request, token: string | null): Promise<Response> {
    const headers: Record<string, string> = {};
    if (token !== null) headers["Authorization"] = `Bearer ${token}`;
    if (request.json) headers["Content-Type"] = "application/json";
    if (request.key !== null) headers["Idempotency-Key"] = request.key;
    const late = AbortSignal.timeout(request.timeoutMs);
    const signal = request.signal === undefined ? late : either(late, request.signal);
    const asked = this.clock?.steady();
    try {
      const { method, body } = request;
      const response = await this.fetch(request.url, { method, headers, body, signal, cache: "no-store" });
      const date = response.headers.get("Date"); // of whole seconds: half a second later is the best guess
      if (asked !== undefined && date !== null) this.clock?.learn(Date.parse(date) + 500, asked, 500);
      return response;
    } catch {
      request.signal?.throwIfAborted();
      throw new ApiError(late.aborted ? "network.timeout" : "network.offline", "network");
    }
  }
}

function fill(template: string, path: Record<string, unknown>): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(path[name])));
}

function search(query: Record<string, unknown>): string {
  const entries = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(entries.map(([name, value]): [string, string] => [name, String(value)])).toString();
  return text && `?${text}`;
}

/** `AbortSignal.any`, which browsers of 2023 lack. */
function either(first: AbortSignal, second: AbortSignal): AbortSignal {
  const both = new AbortController();
  for (const signal of [first, second]) {
    if (signal.aborted) both.abort(signal.reason);
    else signal.addEventListener("abort", () => both.abort(signal.reason), { once: true, signal: both.signal });
  }
  return both.signal;
}
