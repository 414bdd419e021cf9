/** Socket.IO as far as we use it, typed by docs/asyncapi.json. Tests bring their own. */
import { io } from "socket.io-client";
import type { SessionHolder } from "../api/session";
import type { Commands, Events } from "./schema";

export type CommandName = keyof Commands;
export type EventName = keyof Events;

export interface Wire {
  connect(): void;
  disconnect(): void;
  /** Rejects when there is no connection, when it ends before the answer, or when none comes in time. */
  ask<C extends CommandName>(command: C, body: Commands[C]["body"]): Promise<Commands[C]["ack"]>;
  on<E extends EventName>(event: E, listener: (body: Events[E]) => void): void;
  onConnected(listener: (connected: boolean) => void): void;
}

const ACK_MS = 10_000;

/** Connects with a fresh token each time; a token that ran out in between is refreshed and the connection made again. */
export function socketIoWire(session: SessionHolder): Wire {
  let token: string | undefined;
  let stale: string | undefined;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let wanted = false;
  const socket = io({
    path: "/socket.io",
    transports: ["websocket"],
    autoConnect: false,
    reconnectionDelay: 500,
    reconnectionDelayMax: 5_000,
    auth: (give) => {
      session.accessToken(stale).then(
        (fresh) => {
          token = fresh;
          stale = undefined;
          give({ token: fresh });
        },
        () => give({ token: "" }), // offline, or signed out: the server refuses, and we try again below
      );
    },
  });
  const again = (ms: number): void => {
    clearTimeout(retry);
    retry = setTimeout(() => {
      if (wanted && session.getState().status !== "out") socket.connect();
    }, ms);
  };
  socket.on("connect_error", (error: Error & { data?: { code?: string } }) => {
    if (error.data?.code === "auth.required") stale = token;
    if (!socket.active) again(1_000); // refused by the server: the library tries again by itself only when the network failed
  });
  socket.on("disconnect", () => {
    if (!socket.active) again(1_000);
  });
  // Back online: now, not when the next pause between tries is over.
  globalThis.addEventListener("online", () => {
    if (!wanted || socket.connected) return;
    socket.disconnect();
    socket.connect();
  });
  return {
    connect() {
      wanted = true;
      socket.connect();
    },
    disconnect() {
      wanted = false;
      clearTimeout(retry);
      socket.disconnect();
    },
    async ask(command, body) {
      if (!socket.connected) throw new Error("not connected");
      return (await socket.timeout(ACK_MS).emitWithAck(command, body)) as Commands[typeof command]["ack"];
    },
    on(event, listener) {
      socket.on(event, listener as never);
    },
    onConnected(listener) {
      socket.on("connect", () => listener(true));
      socket.on("disconnect", () => listener(false));
    },
  };
}
