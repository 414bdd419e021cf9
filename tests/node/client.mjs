// The JavaScript client against a running server: `node client.mjs URL PATIENT_TOKEN DOCTOR_TOKEN CONVERSATION TRANSPORTS`.
// Prints one JSON object of what it saw; decides nothing.
import { io } from "socket.io-client";

const [url, patientToken, doctorToken, conversation, transports] = process.argv.slice(2);
const seen = {};

const connect = (token, options = {}) =>
  io(url, { auth: { token }, transports: transports.split(","), reconnection: false, forceNew: true, ...options });
const once = (socket, event) =>
  new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`no ${event}`)), 10_000).unref();
    socket.once(event, resolve);
  });
const say = (socket, text, clientId) =>
  socket.timeout(10_000).emitWithAck("message.send", {
    conversation_id: conversation,
    client_id: clientId,
    parts: [{ kind: "text", text }],
  });

const refused = connect("unknown");
const error = await once(refused, "connect_error");
seen.refused = { message: error.message, data: error.data };
refused.close();

const patient = connect(patientToken);
await once(patient, "connect");
const doctor = connect(doctorToken);
await once(doctor, "connect");
if (transports.includes("polling") && transports.includes("websocket")) {
  for (const socket of [patient, doctor]) {
    if (socket.io.engine.transport.name !== "websocket") await once(socket.io.engine, "upgrade");
  }
}
seen.transport = patient.io.engine.transport.name;

const heard = [];
const echoed = [];
doctor.on("message.new", (message) => heard.push(message));
patient.on("message.new", (message) => echoed.push(message));
seen.acks = [];
for (let n = 0; n < 20; n += 1) seen.acks.push(await say(patient, `第${n}句 😷`, `node-client-${n}`));
seen.repeated = await say(patient, "第0句 😷", "node-client-0");
while (heard.length < 20) await once(doctor, "message.new");
seen.heard = heard;
seen.echoed = echoed;
seen.unknown = await patient.timeout(10_000).emitWithAck("no.such.command", { a: 1 });
seen.binary = await patient.timeout(10_000).emitWithAck("message.send", { parts: [new Uint8Array([1, 2, 3])] });
seen.synced = await doctor.timeout(10_000).emitWithAck("conversation.sync", { cursors: {} });

const receipt = once(patient, "receipt");
await doctor.timeout(10_000).emitWithAck("receipt.read", { conversation_id: conversation, seq: 5 });
seen.receipt = await receipt;

const revoked = once(patient, "session.revoked");
const gone = once(patient, "disconnect");
console.log(JSON.stringify({ ready: true }));
seen.revoked = await revoked;
seen.reason = await gone;
doctor.close();
console.log(JSON.stringify(seen));
