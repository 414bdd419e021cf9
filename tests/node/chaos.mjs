// One side of a consult on the JavaScript client: `node chaos.mjs URL TOKEN CONVERSATION NAME SEED`. Says one thing after another, each
// until it is answered, by its socket or over HTTP, whichever answers; takes some back; loses its line now and then. Prints how all of
// it was answered once the consult is over; then, for the line `log`, what it holds once the consult is settled. Decides nothing else.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const [url, token, conversation, name, seed] = process.argv.slice(2);
const OVER = new Set(["conversation.closed", "conversation.quota_exhausted"]);
const PASSING = new Set(["unavailable", "internal", "rate_limited"]);
const TRY_MS = 3_000;
const told = { sent: [], recalled: [], strange: [], internal: [], refused: [], over_http: 0, reconnects: -1, slowest: 0 };
const held = new Map();
const asked = createInterface({ input: process.stdin });
asked.once("close", () => process.exit(1)); // whoever started us is gone
const askedForLog = new Promise((resolve) => asked.once("line", resolve));

// The same numbers for the same seed.
let state = [...seed].reduce((hash, letter) => Math.imul(hash ^ letter.codePointAt(0), 16777619) >>> 0, 2166136261);
function chance() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 4294967296;
}
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const socket = io(url, {
  auth: { token }, transports: ["websocket"], reconnectionDelay: 50, reconnectionDelayMax: 500, timeout: 2_000,
});

function take(message) {
  if (message.conversation_id !== conversation) return;
  if (!held.get(message.seq)?.recalled) held.set(message.seq, message);
  // whichever came first: what was said live before the recall may be heard after it
  const recalled = new Set([...held.values()].map((each) => each.recalls));
  for (const seq of [message.seq, message.recalls]) {
    if (recalled.has(seq) && held.has(seq)) held.set(seq, { ...held.get(seq), recalled: true, parts: [] });
  }
}

function cursor() {
  let seq = 0;
  while (held.has(seq + 1)) seq += 1;
  return seq;
}

let syncing = false;
async function catchUp() {
  if (syncing || !socket.connected) return;
  syncing = true;
  try {
    for (let more = true; more; ) {
      const body = { cursors: { [conversation]: cursor() } };
      const answer = await socket.timeout(TRY_MS).emitWithAck("conversation.sync", body);
      if (!answer.ok) return;
      for (const message of answer.conversations[0].messages) take(message);
      more = answer.conversations[0].more;
    }
  } catch {
    // the line: the next connection or round asks again
  } finally {
    syncing = false;
  }
}

socket.on("connect", () => {
  told.reconnects += 1;
  void catchUp();
});
socket.on("connect_error", (error) => {
  if (error.data?.code?.startsWith("auth.")) told.refused.push(`connect: ${error.data.code}`);
  if (!socket.active) setTimeout(() => socket.connect(), 200); // refused by the server: the library would not try again
});
socket.on("disconnect", (reason) => {
  if (reason === "io server disconnect") setTimeout(() => socket.connect(), 100);
});
socket.on("session.revoked", (body) => told.refused.push(`session.revoked: ${body.reason}`));
socket.on("message.new", (message) => {
  take(message);
  if (cursor() < message.seq && message.conversation_id === conversation) void catchUp();
});

async function bySocket(command, body) {
  if (!socket.connected) return null;
  const answer = await socket.timeout(TRY_MS).emitWithAck(command, { conversation_id: conversation, ...body });
  return answer.ok ? { message: answer.message } : answer.error;
}

async function overHttp(_, body) {
  const answer = await fetch(`${url}/api/v1/conversations/${conversation}/messages`, {
    method: "POST", body: JSON.stringify(body), signal: AbortSignal.timeout(TRY_MS),
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
  });
  const content = await answer.json();
  if (answer.status === 201) return { message: content };
  if (answer.status === 401) told.refused.push(`POST messages: ${content.code}`);
  const kind = { 500: "internal", 503: "unavailable", 429: "rate_limited" }[answer.status] ?? "refused";
  return { kind, code: content.code };
}

// The answer, once it is yes or a no that stays; by each of these ways in turn.
async function insist(command, body, ways) {
  const began = performance.now();
  for (let n = 0; ; n += 1) {
    if (performance.now() - began > 600_000) throw new Error(`no answer to ${body.client_id}`);
    try {
      const way = ways[n % ways.length];
      const answer = await way(command, body);
      if (answer?.kind === "internal") told.internal.push(command);
      if (answer !== null && !PASSING.has(answer.kind)) {
        told.slowest = Math.max(told.slowest, (performance.now() - began) / 1000);
        if (answer.message) take(answer.message);
        if (way === overHttp) told.over_http += 1;
        told.sent.push([body.client_id, answer.message?.seq ?? null, answer.code ?? null]);
        return answer;
      }
    } catch {
      // no answer: the same again, the other way
    }
    await pause(100);
  }
}

async function chat() {
  for (let n = 1; ; n += 1) {
    const clientId = `${name}-${String(n).padStart(5, "0")}`;
    const body = { client_id: clientId, parts: [{ kind: "text", text: `第${n}句 ${name}` }] };
    const said = await insist("message.send", body, chance() < 0.7 ? [bySocket, overHttp] : [overHttp, bySocket]);
    if (!said.message) {
      if (!OVER.has(said.code)) told.strange.push(`${clientId}: ${said.code}`);
      return;
    }
    const draw = chance();
    if (draw < 0.15) {
      const recall = await insist("message.recall", { client_id: `${clientId}-recall`, seq: said.message.seq }, [bySocket]);
      if (recall.message) told.recalled.push(said.message.seq);
      else {
        told.sent.pop(); // refused: it is in no log
        if (recall.code !== "message.recall_expired" && !OVER.has(recall.code)) told.strange.push(`${clientId}-recall: ${recall.code}`);
      }
    } else if (draw < 0.2) {
      socket.disconnect();
      socket.connect();
    }
    await pause(50 + 450 * chance());
  }
}

await chat();
console.log(JSON.stringify(told));
await askedForLog;
// Behind it may stand what was taken back later still.
while (![...held.values()].some((entry) => entry.kind === "settled")) {
  await pause(200);
  await catchUp();
}
await catchUp();
console.log(JSON.stringify({ log: [...held.keys()].sort((a, b) => a - b).map((seq) => held.get(seq)) }));
process.exit(0);
