// Types of all that crosses the network, from docs/openapi.json and docs/asyncapi.json. `--check` writes nothing and fails on a difference.
import { readFileSync, writeFileSync } from "node:fs";
import openapiTS, { astToString } from "openapi-typescript";

const here = new URL("../", import.meta.url);
const read = (name) => JSON.parse(readFileSync(new URL(`../docs/${name}`, here), "utf8"));
const HEADER = "// Made by `npm run generate` from docs/; do not edit.\n\n";
const API = "/api/v1";

const openapi = read("openapi.json");
const asyncapi = read("asyncapi.json");

function routes() {
  const lines = [];
  for (const [path, methods] of Object.entries(openapi.paths)) {
    if (path.startsWith(`${API}/callbacks/`)) continue;
    for (const [method, operation] of Object.entries(methods)) {
      if (operation.operationId) lines.push(`  ${operation.operationId}: "${method.toUpperCase()} ${path.slice(API.length)}",`);
    }
  }
  return `${HEADER}/** Where each operation is, by its id. */\nexport const ROUTES = {\n${lines.sort().join("\n")}\n} as const;\n`;
}

/** AsyncAPI's schemas are those of OpenAPI 3.1, so the same tool makes their types; commands and events are named after them. */
async function messages() {
  const document = { openapi: "3.1.0", info: asyncapi.info, paths: {}, components: { schemas: asyncapi.components.schemas } };
  const types = astToString(await openapiTS(document));
  const named = Object.keys(asyncapi.components.messages);
  const payload = (name) => {
    const schema = asyncapi.components.messages[name].payload;
    const refs = (schema.oneOf ?? [schema]).map((each) => `Schemas["${each.$ref.split("/").pop()}"]`);
    return refs.join(" | ");
  };
  const of = (prefix) => named.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length)).sort();
  const commands = of("command.").map((n) => `  "${n}": { body: ${payload(`command.${n}`)}; ack: ${payload(`ack.${n}`)} };`);
  const events = of("event.").map((n) => `  "${n}": ${payload(`event.${n}`)};`);
  return (
    `${HEADER}${types}\nexport type Schemas = components["schemas"];\n\n` +
    `/** Client to server, each with its acknowledgement. */\nexport interface Commands {\n${commands.join("\n")}\n}\n\n` +
    `/** Server to client. */\nexport interface Events {\n${events.join("\n")}\n}\n`
  );
}

const made = {
  "shared/src/api/schema.d.ts": HEADER + astToString(await openapiTS(openapi)),
  "shared/src/api/routes.ts": routes(),
  "shared/src/socket/schema.d.ts": await messages(),
};
let stale = 0;
for (const [name, text] of Object.entries(made)) {
  const file = new URL(name, here);
  if (!process.argv.includes("--check")) writeFileSync(file, text);
  else if (readFileSync(file, "utf8") !== text) {
    console.error(`${name} is not what docs/ says; run: npm run generate`);
    stale += 1;
  }
}
process.exit(stale ? 1 : 0);
