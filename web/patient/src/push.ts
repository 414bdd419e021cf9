/** Whether this device is told while the app is closed: Web Push, where the browser has it and the person wants it. */
import { type Api, useApi, useRuntime, useSession } from "@yunzhen/shared";
import type { DeviceStore } from "@yunzhen/shared/store";
import { useCallback, useEffect, useState } from "react";

/** `blocked`: the browser's own settings say no, and only they can say otherwise. */
export type PushState = "unknown" | "missing" | "blocked" | "off" | "on";

export interface PushSwitch {
  state: PushState;
  busy: boolean;
  /** Rejects where the server or the push service refuses. */
  put: (on: boolean) => Promise<void>;
}

/** The name under which an account's wish is kept on this device; gone with all else when it signs out. */
const WISH = "push";

export function usePush(): PushSwitch {
  const api = useApi();
  const { store } = useRuntime();
  const account = useAccount();
  const [state, setState] = useState<PushState>("unknown");
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    let here = true;
    void current(store, account).then((found) => here && setState(found));
    return () => {
      here = false;
    };
  }, [store, account]);
  const put = useCallback(async (on: boolean) => {
    setBusy(true);
    try {
      await (on ? begin(api, store, account) : end(api, store, account));
    } finally {
      setState(await current(store, account));
      setBusy(false);
    }
  }, [account, api, store]);
  return { state, busy, put };
}

/**
 * Makes what the server knows of this browser true again whenever somebody is signed in: a session that ended took its subscription with it,
 * the push service may have given another address, the server another key. What somebody else had wished for here ends.
 */
export function usePushUpkeep(): void {
  const api = useApi();
  const { store } = useRuntime();
  const account = useAccount();
  useEffect(() => {
    if (account !== "" && has()) void upkeep(api, store, account).catch(() => undefined); // the next start tries again
  }, [account, api, store]);
}

function useAccount(): string {
  const session = useSession();
  return session.status === "in" ? session.account.account_id : "";
}

const has = (): boolean => "serviceWorker" in navigator && "PushManager" in globalThis && "Notification" in globalThis;

const wished = async (store: DeviceStore, account: string): Promise<boolean> => (await store.noted(account, WISH).catch(() => undefined)) === true;

async function subscribed(): Promise<PushSubscription | null> {
  const worker = await navigator.serviceWorker.getRegistration("/patient/");
  return (await worker?.pushManager.getSubscription()) ?? null;
}

async function current(store: DeviceStore, account: string): Promise<PushState> {
  if (!has()) return "missing";
  if (Notification.permission === "denied") return "blocked";
  return (await subscribed()) !== null && (await wished(store, account)) ? "on" : "off";
}

async function upkeep(api: Api, store: DeviceStore, account: string): Promise<void> {
  if (!(await wished(store, account))) await (await subscribed())?.unsubscribe();
  else if (Notification.permission === "granted") await subscribe(api);
}

async function begin(api: Api, store: DeviceStore, account: string): Promise<void> {
  if ((await Notification.requestPermission()) !== "granted") return;
  await subscribe(api);
  await store.note(account, WISH, true);
}

async function subscribe(api: Api): Promise<void> {
  const { public_key } = await api.call("get_push_key");
  const key = bytesOf(public_key);
  const { pushManager } = await navigator.serviceWorker.ready;
  const known = await pushManager.getSubscription();
  if (known !== null && !same(known.options.applicationServerKey, key)) await known.unsubscribe(); // for a key that the server has no more
  const made = await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  const body = bodyOf(made.toJSON());
  if (body === null) throw new Error("the browser gave no keys");
  await api.call("put_push_subscription", { body });
}

/** The server first: a subscription that it still has would be pushed to. */
async function end(api: Api, store: DeviceStore, account: string): Promise<void> {
  await api.call("delete_push_subscription");
  await store.note(account, WISH, false);
  await (await subscribed())?.unsubscribe();
}

export function bodyOf({ endpoint, keys }: PushSubscriptionJSON): { subscription: { channel: "web"; endpoint: string; keys: { p256dh: string; auth: string } } } | null {
  const [p256dh, auth] = [keys?.["p256dh"], keys?.["auth"]];
  if (endpoint === undefined || p256dh === undefined || auth === undefined) return null;
  return { subscription: { channel: "web", endpoint, keys: { p256dh, auth } } };
}

/** base64url without padding. */
export function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
}

/** Whether a browser subscribed for this key. */
export function same(known: ArrayBuffer | null, key: Uint8Array): boolean {
  const bytes = new Uint8Array(known ?? new ArrayBuffer(0));
  return bytes.length === key.length && bytes.every((each, index) => each === key[index]);
}
