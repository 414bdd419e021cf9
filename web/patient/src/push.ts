/** Whether this device is told while the app is closed: Web Push, where the browser has it and the person wants it. */
import { type Api, useApi } from "@yunzhen/shared";
import { useCallback, useEffect, useState } from "react";

/** `blocked`: the browser's own settings say no, and only they can say otherwise. */
export type PushState = "unknown" | "missing" | "blocked" | "off" | "on";

export interface PushSwitch {
  state: PushState;
  busy: boolean;
  /** Rejects where the server or the push service refuses. */
  put: (on: boolean) => Promise<void>;
}

export function usePush(): PushSwitch {
  const api = useApi();
  const [state, setState] = useState<PushState>("unknown");
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    let here = true;
    void current().then((found) => here && setState(found));
    return () => {
      here = false;
    };
  }, []);
  const put = useCallback(async (on: boolean) => {
    setBusy(true);
    try {
      await (on ? subscribe(api) : unsubscribe(api));
    } finally {
      setState(await current());
      setBusy(false);
    }
  }, [api]);
  return { state, busy, put };
}

const has = (): boolean => "serviceWorker" in navigator && "PushManager" in globalThis && "Notification" in globalThis;

async function current(): Promise<PushState> {
  if (!has()) return "missing";
  if (Notification.permission === "denied") return "blocked";
  const worker = await navigator.serviceWorker.getRegistration("/patient/");
  return (await worker?.pushManager.getSubscription()) ? "on" : "off";
}

async function subscribe(api: Api): Promise<void> {
  if ((await Notification.requestPermission()) !== "granted") return;
  const { public_key } = await api.call("get_push_key");
  const worker = await navigator.serviceWorker.ready;
  const made = await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytesOf(public_key) });
  const body = bodyOf(made.toJSON());
  if (body === null) throw new Error("the browser gave no keys");
  await api.call("put_push_subscription", { body });
}

/** The server first: a subscription that it still has would be pushed to. */
async function unsubscribe(api: Api): Promise<void> {
  await api.call("delete_push_subscription");
  const worker = await navigator.serviceWorker.getRegistration("/patient/");
  await (await worker?.pushManager.getSubscription())?.unsubscribe();
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
