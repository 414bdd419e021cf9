/** What one app has one of: who is signed in, the client, the server's clock, preferences, and the live side of the signed-in account. */
import { QueryClient } from "@tanstack/react-query";
import { Api } from "../api/client";
import { type Account, type Role, SessionHolder } from "../api/session";
import { ServerClock } from "../socket/clock";
import type { Message } from "../socket/conversation";
import { onLeaving } from "../coalesced";
import { Realtime } from "../socket/realtime";
import { socketIoWire } from "../socket/wire";
import { DeviceStore, deviceId, remember } from "../store";
import { PreferenceHolder } from "../theme";

export interface RuntimeOptions {
  app: "patient" | "doctor" | "console";
  role: Role;
  /** Keep conversations on this device for reading offline: for people's own, never where records of others are read. */
  keepsConversations?: boolean;
}

const LATEST = Number.MAX_SAFE_INTEGER;
const PAGE = 50;

export class Runtime {
  readonly clock = new ServerClock();
  readonly preferences = new PreferenceHolder();
  readonly session: SessionHolder;
  readonly api: Api;
  readonly queries: QueryClient;
  readonly store: DeviceStore;
  private live: Realtime | null = null;
  private stay: () => void = () => undefined;

  constructor(readonly options: RuntimeOptions) {
    const hint = `${options.app}.in`;
    this.session = new SessionHolder({
      role: options.role,
      deviceId: deviceId(options.app),
      deviceName: nameOfDevice(),
      hint: { get: () => remember.get(hint) === "true", set: (signedIn) => remember.set(hint, String(signedIn)) },
    });
    this.api = new Api(this.session, { clock: this.clock });
    this.store = new DeviceStore(options.app);
    this.queries = new QueryClient({
      // The client tries again by itself; here a failure is shown at once, with a button.
      defaultOptions: { queries: { retry: false, staleTime: 10_000, refetchOnWindowFocus: true, networkMode: "always" }, mutations: { retry: false, networkMode: "always" } },
    });
    this.session.subscribe(() => this.follow());
  }

  /** The live side; null while nobody is signed in, and in the console, which has none. */
  readonly realtime = (): Realtime | null => this.live;

  /** Offline at the start: whether this browser keeps what an account may read, which is then shown. */
  async resumeOffline(): Promise<boolean> {
    if (this.options.keepsConversations !== true) return false;
    const account = (await this.store.notedOfAnyone("account")) as Account | undefined;
    if (account !== undefined) this.session.resume(account);
    return account !== undefined;
  }

  private follow(): void {
    const state = this.session.getState();
    if (state.status === "in" && this.live === null && this.options.role !== "staff") this.live = this.start(state.account.account_id);
    if (state.status === "in") void this.remember(state.account);
    if (state.status !== "out") return;
    this.stay();
    this.live?.stop();
    this.live = null;
    this.queries.clear();
    // A session that merely ran out keeps what waits to be sent, for the same account alone.
    if (state.reason === null) void this.store.forget();
  }

  private async remember(account: Account): Promise<void> {
    await this.store.forget(account.account_id);
    if (this.options.keepsConversations === true) await this.store.note(account.account_id, "account", account);
  }

  private start(accountId: string): Realtime {
    const live = new Realtime({
      accountId,
      wire: socketIoWire(this.session),
      clock: this.clock,
      outbox: this.store,
      history: (id, beforeSeq) => this.history(id, beforeSeq),
      ...(this.options.keepsConversations === true ? { logs: this.store.logsOf(accountId) } : {}),
    });
    live.on("session.revoked", ({ reason }) => this.session.end(reason));
    live.on("order.changed", (order) => {
      this.queries.setQueryData(["order", order.id], order);
      void this.queries.invalidateQueries({ queryKey: ["orders"] });
    });
    for (const event of ["notice", "notices.read"] as const) live.on(event, () => void this.queries.invalidateQueries({ queryKey: ["notices"] }));
    live.on("notice", ({ order_id }) => {
      for (const name of ["referrals", "reply-flags"]) void this.queries.invalidateQueries({ queryKey: [name, order_id] });
    });
    live.on("record.viewed", ({ order_id }) => void this.queries.invalidateQueries({ queryKey: ["record-views", order_id] }));
    let was = true;
    live.subscribe(() => {
      if (live.isConnected() && !was) void this.queries.invalidateQueries(); // what happened while away
      was = live.isConnected();
    });
    this.stay = onLeaving(() => live.flush());
    live.start();
    return live;
  }

  private async history(id: string, beforeSeq: number | null): Promise<readonly Message[]> {
    const query = { before_seq: beforeSeq ?? LATEST, limit: PAGE };
    const page = await this.api.call("list_messages", { path: { conversation_id: id }, query });
    return page.items as readonly Message[];
  }
}

function nameOfDevice(): string {
  const agent = navigator.userAgent;
  const system = /iPhone|iPad|Android|Windows|Mac OS|Linux/.exec(agent)?.[0] ?? "Web";
  const browser = /MicroMessenger|Edg|Chrome|Firefox|Safari/.exec(agent)?.[0] ?? "";
  return `${system.replace("Mac OS", "Mac")} ${browser.replace("MicroMessenger", "WeChat").replace("Edg", "Edge")}`.trim();
}
