// The whole journey through the TypeScript SDK's client, as journey.py walks it through Python's.
// Arguments: where the packages are; {command, args, env} or {url}; how to connect: "1.x" (the
// SDK before its rewrite, which most hosts are built on), "default", "auto", or a revision.
// Prints every step's answer as one line of JSON.
import { createRequire } from "node:module";

const [packages, target, mode] = process.argv.slice(2);
const require = createRequire(packages);
const steps = {};
const progress = [];

async function call(step, name, args, options) {
  const params = { name, arguments: args };
  const more = mode === "1.x" ? [undefined, options] : [options];
  steps[step] = await client.callTool(params, ...more);
  return steps[step].structuredContent;
}

function wait(step, name, { task_id }) {
  const onprogress = ({ message }) => progress.push(message);
  return call(step, name, { task_id, wait_seconds: 45 }, { onprogress });
}

function connection({ url, command, args, env }) {
  const root = mode === "1.x" ? "@modelcontextprotocol/sdk/client" : "@modelcontextprotocol/client";
  const { Client } = require(root);
  const { StdioClientTransport, getDefaultEnvironment } = require(
    mode === "1.x" ? `${root}/stdio.js` : `${root}/stdio`,
  );
  const { StreamableHTTPClientTransport } = require(
    mode === "1.x" ? `${root}/streamableHttp.js` : root,
  );
  const negotiation = { mode: mode === "auto" ? mode : { pin: mode } };
  const options = /^(1.x|default)$/.test(mode) ? undefined : { versionNegotiation: negotiation };
  const client = new Client({ name: "journey", version: "1" }, options);
  const transport = url
    ? new StreamableHTTPClientTransport(new URL(url))
    : new StdioClientTransport({ command, args, env: { ...getDefaultEnvironment(), ...env } });
  return { client, transport };
}

const { client, transport } = connection(JSON.parse(target));
let version;
const setVersion = transport.setProtocolVersion?.bind(transport);
transport.setProtocolVersion = (negotiated) => {
  version = negotiated; // 1.x tells nobody else
  setVersion?.(negotiated);
};
await client.connect(transport);
steps.tools = await client.listTools();
await call("credits", "get_credits", {});
const request_id = `boat ${mode}`;
const made = await call("made", "generate_video", { prompt: "a paper boat", request_id });
const done = await wait("done", "get_task", made);
const extension = { task_id: made.task_id, prompt: "it sails on" };
const longer = await call("longer", "extend_video", extension);
await wait("extended", "get_task", longer);
const restyling = { video_url: done.video_url, prompt: "as a watercolour" };
const painted = await call("painted", "aleph_generate", restyling);
await wait("restyled", "aleph_get_task", painted);
await call("saved", "save_video", { task_id: painted.task_id });
await call("listed", "list_tasks", { limit: 3 });
await call("misspelt", "generate_video", { prompt: "a boat", durration: 9 });
await call("mispaged", "list_tasks", { cursor: "abc" });
await call("lost", "get_task", { task_id: "no-such-task" });
await client.callTool({ name: "make_coffee", arguments: {} }).catch((error) => {
  steps.unknown = { code: error.code };
});
await client.close();
version = client.getNegotiatedProtocolVersion?.() ?? version;
console.log(JSON.stringify({ version, progress, steps }));
