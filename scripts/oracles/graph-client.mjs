#!/usr/bin/env node
// Proves the simulated Graph with Microsoft's own client: list, page, 429 with its retry, ETag, errors.
// The client sends its token to https only, so a TLS terminator of a few lines stands in front.
// Needs: openssl, npm install @microsoft/microsoft-graph-client@3.0.7 (NODE_MODULES names the folder), cargo. Loopback only.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import tls from "node:tls";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const modules = process.env.NODE_MODULES ?? path.join(root, "node_modules");
const { Client, PageIterator } = createRequire(path.join(modules, "x.js"))("@microsoft/microsoft-graph-client");

const folder = process.env.ORACLE_FOLDER;
if (!folder) { // again, with a certificate of our own trusted: Node reads NODE_EXTRA_CA_CERTS at start only
  const made = fs.mkdtempSync(path.join(os.tmpdir(), "graph-oracle-"));
  const [key, cert] = [path.join(made, "key.pem"), path.join(made, "cert.pem")];
  execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
    "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert], { stdio: "ignore" });
  const env = { ...process.env, ORACLE_FOLDER: made, NODE_EXTRA_CA_CERTS: cert };
  const { status } = spawnSync(process.execPath, [fileURLToPath(import.meta.url)], { env, stdio: "inherit" });
  fs.rmSync(made, { recursive: true });
  process.exit(status ?? 1);
}

const certificate = { key: fs.readFileSync(path.join(folder, "key.pem")), cert: fs.readFileSync(path.join(folder, "cert.pem")) };
let port;
const terminator = tls.createServer(certificate, (client) => {
  const server = net.connect(port, "127.0.0.1");
  client.pipe(server).pipe(client);
  for (const end of [client, server]) end.on("error", () => { client.destroy(); server.destroy(); });
});
await new Promise((ready) => terminator.listen(0, "127.0.0.1", ready));
const origin = `https://localhost:${terminator.address().port}`;

const example = spawn("cargo", ["run", "--quiet", "--example", "simulated_graph", "--", "--public-origin", origin], { cwd: root, stdio: ["pipe", "pipe", "inherit"] });
const line = (await createInterface({ input: example.stdout })[Symbol.asyncIterator]().next()).value;
const settings = JSON.parse(line);
port = Number(new URL(settings.origin).port);
let failed = 0;
const expect = (name, good, shown = "") => {
  console.log(good ? "ok   " : "FAIL ", name, shown);
  if (!good) failed += 1;
};

const form = new URLSearchParams({
  client_id: settings.client_id, client_secret: settings.client_secret,
  grant_type: "client_credentials", scope: `${settings.resource}/.default`,
});
const login = await fetch(`${origin}/${settings.tenant}/oauth2/v2.0/token`, { method: "POST", body: form });
const token = (await login.json()).access_token;

const client = Client.init({
  baseUrl: `${origin}/`, defaultVersion: "v1.0",
  customHosts: new Set(["localhost"]),
  authProvider: (done) => done(null, token),
});

try {
  const first = await client.api("/users").top(5).select("displayName").get();
  expect("list", first.value.length === 5 && first["@odata.nextLink"].startsWith(origin));
  const names = [];
  const pages = new PageIterator(client, first, (user) => { names.push(user.displayName); return true; });
  await pages.iterate();
  expect("page", names.length === 12 && names[0] === "Ada Lovelace");

  const filtered = await client.api("/users").filter("startswith(displayName,'A')").count(true)
    .header("ConsistencyLevel", "eventual").get();
  expect("filter and count", filtered["@odata.count"] === 2);

  const ada = await client.api("/users/ada@contoso.example").get();
  expect("etag in the body", ada["@odata.etag"] === 'W/"1"');
  await client.api("/users/ada@contoso.example").header("If-Match", ada["@odata.etag"]).patch({ jobTitle: "Countess" });
  const conflict = await client.api("/users/ada@contoso.example").header("If-Match", ada["@odata.etag"])
    .patch({ jobTitle: "x" }).catch((error) => error);
  expect("412", conflict.statusCode === 412 && conflict.code === "PreconditionFailed");

  const missing = await client.api("/users/nobody").get().catch((error) => error);
  expect("404", missing.statusCode === 404 && missing.code === "Request_ResourceNotFound" && Boolean(missing.requestId));
  const me = await client.api("/me").get().catch((error) => error);
  expect("/me", me.statusCode === 400 && me.message.includes("delegated"));
  const denied = await client.api("/organization").get().catch((error) => error);
  expect("403", denied.statusCode === 403 && denied.code === "Authorization_RequestDenied");

  const started = Date.now();
  const throttled = await client.api("/users/throttled@contoso.example").get().catch((error) => error);
  const waited = Date.now() - started;
  expect("429, retried after Retry-After", throttled.statusCode === 429 && waited >= 3000, `(${waited} ms)`);

  const message = { subject: "Hi", toRecipients: [{ emailAddress: { address: "alan@contoso.example" } }] };
  await client.api("/users/ada@contoso.example/sendMail").post({ message });
  const inbox = await client.api("/users/alan@contoso.example/messages").get();
  expect("sendMail", inbox.value[0].subject === "Hi");
} catch (error) {
  expect("no exception", false, error.stack);
} finally {
  example.stdin.end();
}
process.exit(failed ? 1 : 0);
