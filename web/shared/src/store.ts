/**
 * What outlives the page. In localStorage: preferences and this device's name for itself, neither of which opens anything. In IndexedDB, by
 * account: the outbox, pictures and recordings that wait to be sent, and (patients' own) conversations and lists for reading offline; signing out removes them. Tokens and records: never.
 */
import { type DBSchema, type IDBPDatabase, openDB } from "idb";
import type { Waiting, WaitingStore } from "./chat/queue";
import type { Log } from "./socket/conversation";
import type { OutboxItem, OutboxStore } from "./socket/outbox";

interface Kept extends DBSchema {
  outbox: { key: string; value: OutboxItem; indexes: { account: string } };
  logs: { key: [string, string]; value: { account_id: string; conversation_id: string; log: Log }; indexes: { account: string } };
  waiting: { key: string; value: Waiting; indexes: { account: string } };
  notes: { key: [string, string]; value: { account_id: string; name: string; value: unknown }; indexes: { account: string } };
}

export interface LogStore {
  read(conversationId: string): Promise<Log | undefined>;
  write(log: Log): Promise<void>;
}

const STORES = ["outbox", "waiting", "logs", "notes"] as const;

export class DeviceStore implements OutboxStore {
  private readonly database: Promise<IDBPDatabase<Kept>>;

  /** One an app: the apps of one browser do not see one another's. */
  constructor(name: string) {
    this.database = openDB<Kept>(`yunzhen-${name}`, 3, {
      upgrade(database, before) {
        database.createObjectStore("waiting", { keyPath: "client_id" }).createIndex("account", "account_id");
        if (before > 1) return;
        database.createObjectStore("notes", { keyPath: ["account_id", "name"] }).createIndex("account", "account_id");
        if (before > 0) return;
        database.createObjectStore("outbox", { keyPath: "client_id" }).createIndex("account", "account_id");
        database.createObjectStore("logs", { keyPath: ["account_id", "conversation_id"] }).createIndex("account", "account_id");
      },
    });
  }

  async list(accountId: string): Promise<OutboxItem[]> {
    return (await this.database).getAllFromIndex("outbox", "account", accountId);
  }

  async put(item: OutboxItem): Promise<void> {
    await (await this.database).put("outbox", item);
  }

  async remove(clientId: string): Promise<void> {
    await (await this.database).delete("outbox", clientId);
  }

  /** Messages whose pictures and recordings are not on the server yet. */
  readonly waiting: WaitingStore = {
    list: async (accountId) => (await this.database).getAllFromIndex("waiting", "account", accountId),
    put: async (item) => {
      await (await this.database).put("waiting", item);
    },
    remove: async (clientId) => (await this.database).delete("waiting", clientId),
  };

  /** Conversations of this account, for reading offline. */
  logsOf(accountId: string): LogStore {
    return {
      read: async (id) => (await (await this.database).get("logs", [accountId, id]))?.log,
      write: async (log) => {
        await (await this.database).put("logs", { account_id: accountId, conversation_id: log.conversationId, log });
      },
    };
  }

  /** Something small of this account's that an app wants to show offline (who is signed in, one's own lists), by name. */
  async note(accountId: string, name: string, value: unknown): Promise<void> {
    await (await this.database).put("notes", { account_id: accountId, name, value });
  }

  async noted(accountId: string, name: string): Promise<unknown> {
    return (await (await this.database).get("notes", [accountId, name]))?.value;
  }

  /** Of whoever is kept here: signing in and out leaves one account at most. */
  async notedOfAnyone(name: string): Promise<unknown> {
    return (await (await this.database).getAll("notes")).find((each) => each.name === name)?.value;
  }

  /** All that is kept of whoever is not `accountId`; of everybody without it. */
  async forget(exceptAccountId?: string): Promise<void> {
    const transaction = (await this.database).transaction(STORES, "readwrite");
    for (const name of STORES) {
      for await (const cursor of transaction.objectStore(name)) {
        if (cursor.value.account_id !== exceptAccountId) await cursor.delete();
      }
    }
    await transaction.done;
  }
}

/** Reads and writes that may be refused (private windows): the app then works without memory. */
export const remember = {
  get(name: string): string | null {
    try {
      return localStorage.getItem(`yz.${name}`);
    } catch {
      return null;
    }
  },
  set(name: string, value: string): void {
    try {
      localStorage.setItem(`yz.${name}`, value);
    } catch {
      // Not kept.
    }
  },
};

/** This browser's id for one app: it names a device, it opens nothing. */
export function deviceId(app: string): string {
  const known = remember.get(`${app}.device`);
  if (known !== null) return known;
  const made = crypto.randomUUID();
  remember.set(`${app}.device`, made);
  return made;
}
