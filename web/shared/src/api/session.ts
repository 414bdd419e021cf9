/**
 * Who is signed in. The access token is held in this object and nowhere else; the refresh token is in an HttpOnly cookie that only
 * `/api/v1/auth/cookie` is sent. A page that is loaded anew begins with a refresh.
 */
import { ApiError, errorOf } from "./errors";
import type { components } from "./schema";

export type Session = components["schemas"]["SessionAnswer"];
export type Account = Session["account"];
export type Role = "patient" | "doctor" | "staff";
export type SessionState = { status: "unknown" } | { status: "out"; reason: string | null } | { status: "in"; account: Account };

const BASE = "/api/v1";
const EARLY_MS = 60_000;
const TIMEOUT_MS = 20_000;

/** Held by one tab of an app at a time, so that two tabs do not bring one cookie at once. */
export type Exclusive = <T>(name: string, work: () => Promise<T>) => Promise<T>;

const exclusive: Exclusive = (name, work) =>
  "locks" in globalThis.navigator ? (navigator.locks.request(name, work) as ReturnType<typeof work>) : work();

export interface SessionOptions {
  role: Role;
  deviceId: string;
  deviceName: string;
  /** Whether this browser was signed in when it was last here: nothing secret, it saves the question where the answer is known. */
  hint?: { get(): boolean; set(signedIn: boolean): void };
  fetch?: typeof fetch;
  exclusive?: Exclusive;
  now?: () => number;
}

export class SessionHolder {
  private token: string | null = null;
  private goodUntil = 0;
  private refreshing: Promise<string> | null = null;
  private generation = 0;
  private current: SessionState = { status: "unknown" };
  private readonly listeners = new Set<() => void>();
  private readonly fetch: typeof fetch;
  private readonly exclusive: Exclusive;
  private readonly now: () => number;

  constructor(readonly options: SessionOptions) {
    this.fetch = options.fetch ?? ((...given) => globalThis.fetch(...given));
    this.exclusive = options.exclusive ?? exclusive;
    this.now = options.now ?? (() => performance.now());
    if (options.hint?.get() === false) this.current = { status: "out", reason: null };
  }

  readonly getState = (): SessionState => this.current;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  };

  /** Sign in; `credentials` are those of the role (phone and code, or user name, password and TOTP). */
  async signIn(credentials: Record<string, string>): Promise<Account> {
    const { role, deviceId, deviceName } = this.options;
    const session = await this.post(`/auth/${role}/sessions`, {
      ...credentials, device_id: deviceId, device_name: deviceName, refresh_in_cookie: true,
    });
    this.generation += 1;
    this.take(session);
    return session.account;
  }

  /** A token that is good for another while, refreshed when it is not. `stale` is one that the server has just refused. */
  async accessToken(stale?: string): Promise<string> {
    if (this.token !== null && this.token !== stale && this.now() < this.goodUntil) return this.token;
    if (this.current.status === "out") throw new ApiError("auth.required", "unauthenticated");
    return this.refresh();
  }

  /** Go on as who was signed in here last, where the server cannot be asked: what is kept can be read, and the next answer decides. */
  resume(account: Account): void {
    if (this.current.status === "unknown") this.set({ status: "in", account });
  }

  async signOut(): Promise<void> {
    try {
      const token = await this.accessToken();
      await this.fetch(`${BASE}/auth/sessions/current`, { method: "DELETE", headers: { Authorization: `Bearer ${token}` } });
    } finally {
      this.end(null);
    }
  }

  /** The server has ended this session. */
  end(reason: string | null): void {
    this.generation += 1;
    this.token = null;
    this.set({ status: "out", reason });
  }

  private refresh(): Promise<string> {
    this.refreshing ??= this.refreshOnce().finally(() => (this.refreshing = null));
    return this.refreshing;
  }

  private async refreshOnce(): Promise<string> {
    const { role, deviceId } = this.options;
    const generation = this.generation;
    try {
      const session = await this.exclusive(`yz-refresh-${role}`, () =>
        this.post("/auth/cookie/refresh", { role, device_id: deviceId }),
      );
      if (generation === this.generation) this.take(session); // else: signed out, or in anew, meanwhile
      return this.token ?? session.access_token;
    } catch (error) {
      if (error instanceof ApiError && error.kind === "unauthenticated" && generation === this.generation) {
        this.end(this.current.status === "in" ? "expired" : null);
      }
      throw error;
    }
  }

  private take(session: Session): void {
    this.token = session.access_token;
    this.goodUntil = this.now() + session.expires_in_seconds * 1000 - EARLY_MS;
    this.set({ status: "in", account: session.account });
  }

  private async post(path: string, body: object): Promise<Session> {
    let response: Response;
    try {
      response = await this.fetch(BASE + path, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
        keepalive: true, // the new cookie is kept also when the page is left meanwhile
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch {
      throw new ApiError("network.offline", "network");
    }
    if (!response.ok) throw await errorOf(response);
    return (await response.json()) as Session;
  }

  private set(state: SessionState): void {
    this.current = state;
    this.options.hint?.set(state.status === "in");
    for (const listener of this.listeners) listener();
  }
}
