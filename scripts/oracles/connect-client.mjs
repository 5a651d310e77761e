// Drives the fake Connect server of the tests with the official client: what it accepts, we may believe.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(`${process.env.NODE_PATH}/`);
const { OnePasswordConnect } = require("@1password/connect");

const server = spawn(process.argv[2], { stdio: ["pipe", "pipe", "inherit"] });
const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
const serverURL = (await lines.next()).value;
const token = (await lines.next()).value;
const VAULT = "a".repeat(26);
const ITEM = "b".repeat(26);
try {
  const client = OnePasswordConnect({ serverURL, token, keepAlive: false });
  assert.equal((await client.listVaults()).length, 2);
  assert.equal((await client.getVaultByTitle("broker-secrets")).id, VAULT);
  assert.equal((await client.listItems(VAULT)).length, 3);
  const byTitle = await client.getItemByTitle(VAULT, "graph-client");
  const byId = await client.getItemById(VAULT, ITEM);
  for (const item of [byTitle, byId]) {
    const field = item.fields.find((field) => field.label === "client-secret" && !field.section?.id);
    assert.match(field.value, /CANARY/);
    assert.equal(item.sections[0].label, "old");
  }
  const status = (promise) => promise.then(() => 200, (error) => error.status ?? error.message);
  assert.equal(await status(client.getItemById(VAULT, "z".repeat(26))), 404);
  assert.equal(await status(client.listItems("c".repeat(26))), 403);
  const stranger = OnePasswordConnect({ serverURL, token: "wrong", keepAlive: false });
  assert.equal(await status(stranger.listVaults()), 401);
  console.log("the official Connect client accepts the fake server: vaults, titles, items, sections, 401, 403, 404");
} finally {
  server.stdin.end();
}
