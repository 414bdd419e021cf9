// A patient app on a poor line: `node poor.mjs URL TOKEN CONVERSATION COUNT TOTAL`. Says COUNT things, each until it is acknowledged,
// and ends when it holds entries 1 to TOTAL without a hole. Prints what it holds; decides nothing else.
import { io } from "socket.io-client";

const [url, token, conversation, count, total] = process.argv.slice(2);
const held = new Map();
let syncing = false;

const socket = io(url, {
  auth: { token },
  transports: ["websocket"],
  reconnectionDelay: 50,
  reconnectionDelayMax: 300,
  timeout: 8_000,
});

let upTo = 0;
const take = (message) => {
  held.set(message.seq, message);
  while (held.has(upTo + 1)) upTo += 1;
};

async function sync() {
  if (syncing) return;
  syncing = true;
  try {
    for (let more = true; more; ) {
      const answer = await socket.timeout(8_000).emitWithAck("conversation.sync", { cursors: { [conversation]: upTo } });
      for (const message of answer.conversations[0].messages) take(message);
      more = answer.conversations[0].more;
    }
  } catch {
    // the line again: the next connection, or the next round, asks once more
  } finally {
    syncing = false;
  }
}

socket.on("connect", sync);
socket.on("message.new", (message) => {
  take(message);
  if (upTo < message.seq) void sync();
});

async function say(n) {
  const body = { conversation_id: conversation, client_id: `node-line-${n}`, parts: [{ kind: "text", text: `节点${n}` }] };
  for (;;) {
    try {
      const answer = await socket.timeout(4_000).emitWithAck("message.send", body);
      if (!held.has(answer.message.seq)) take(answer.message);
      return answer.message.seq;
    } catch {
      // not acknowledged: the same client id again
    }
  }
}

const acknowledged = [];
for (let n = 0; n < Number(count); n += 1) acknowledged.push(await say(n));
while (upTo < Number(total)) {
  await new Promise((resolve) => setTimeout(resolve, 200));
  await sync();
}
const log = [...held.values()].sort((a, b) => a.seq - b.seq);
console.log(JSON.stringify({ acknowledged, log }));
socket.close();
