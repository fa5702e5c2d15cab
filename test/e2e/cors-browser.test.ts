// CORS in a real browser: Chromium loads pages of two loopback origins, which call the sidecar on a third.
import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, beforeEach, test } from "node:test";
import { chromium, type Browser, type Page } from "playwright-core";
import { z } from "zod";
import { registry } from "../../plugins/index.ts";
import { definePlugin, GatewayError } from "../../src/plugin-api/contract.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

/** Refuses what has no Authorization, as auth does. */
const doorkeeper = definePlugin({
  name: "doorkeeper",
  version: "1.0.0",
  apiVersion: 1,
  priority: 10,
  security: true,
  failMode: "closed",
  options: z.strictObject({}),
  setup: () => ({
    onRequest({ request }) {
      if (request.fields.has("authorization")) return undefined;
      return { action: "reject", error: new GatewayError("authentication_required", "Show a key.") };
    },
  }),
});

const served: string[] = [];
const service: http.RequestListener = (request, response) => {
  served.push(`${request.method} ${request.url} ${request.headers.cookie ?? ""}`.trim());
  // A service that lets everybody in, which the policy must overrule.
  response.setHeader("Access-Control-Allow-Origin", "*");
  response.setHeader("X-Total", "7");
  response.setHeader("X-Hidden", "8");
  if (request.url === "/open/login") response.setHeader("Set-Cookie", "sid=1; SameSite=Lax");
  response.end("hello");
};

const pages = http.createServer((_request, response) => {
  response.setHeader("Content-Type", "text/html");
  response.end("<!doctype html><title>page</title>");
});

const chromiumArguments =
  "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run " +
  "--disable-background-networking --disable-component-update --disable-sync";

let browser: Browser;
let sidecar: TestSidecar;
/** Pages of the origin that the policy allows, and of one that it does not. */
let allowed: Page;
let other: Page;

before(async () => {
  pages.listen(0, "127.0.0.1");
  await once(pages, "listening");
  const { port } = pages.address() as AddressInfo;
  const app = `http://127.0.0.1:${port}`;
  const cors = {
    origins: [app],
    methods: ["GET", "PUT"],
    headers: ["X-Known", "Authorization"],
    exposeHeaders: ["X-Total"],
  };
  sidecar = await startSidecar({
    registry: [...registry, doorkeeper],
    upstream: service,
    policy: {
      plugins: ["logging", "cors"],
      pluginConfig: { cors },
      routes: [
        { path: "/*" },
        { path: "/open/*", pluginConfig: { cors: { credentials: true } } },
        { path: "/all/*", pluginConfig: { cors: { origins: ["*"] } } },
        { path: "/null/*", pluginConfig: { cors: { origins: ["null"] } } },
        { path: "/pattern/*", pluginConfig: { cors: { origins: ["http://localhost:*"] } } },
        { path: "/guarded/*", plugins: ["logging", "cors", "doorkeeper"] },
        { path: "/only-put", methods: ["PUT"] },
      ],
    },
  });
  browser = await chromium.launch({
    executablePath: process.env["OUTRIGGER_TEST_CHROMIUM"] ?? "/usr/bin/chromium",
    args: chromiumArguments.split(" "),
  });
  const context = await browser.newContext();
  allowed = await context.newPage();
  await allowed.goto(app);
  other = await context.newPage();
  await other.goto(`http://localhost:${port}`);
});

after(async () => {
  await browser?.close();
  await sidecar?.stop();
  pages.close();
});

beforeEach(() => {
  served.length = 0;
});

interface Got {
  readonly status?: number;
  readonly body?: string;
  readonly fields?: Record<string, string>;
  /** Name of the error that fetch rejected with: the browser kept the answer from the page. */
  readonly failed?: string;
}

/** Calls the sidecar from within the page. */
function call(page: Page, path: string, init: object = {}): Promise<Got> {
  // Text, since the page's globals are not those of this program.
  const script = `fetch(${JSON.stringify(sidecar.url + path)}, ${JSON.stringify(init)}).then(
    async (answer) => ({ status: answer.status, body: await answer.text(), fields: Object.fromEntries(answer.headers) }),
    (error) => ({ failed: error.name }),
  )`;
  return page.evaluate<Got>(script);
}

const kept = { failed: "TypeError" };

test("a page of an allowed origin reads the answer and the fields that are exposed", async () => {
  const got = await call(allowed, "/x");
  assert.deepEqual([got.status, got.body], [200, "hello"]);
  assert.equal(got.fields?.["x-total"], "7");
  assert.equal(got.fields?.["x-hidden"], undefined);
});

test("a page of another origin gets nothing, although the service would let it", async () => {
  assert.deepEqual(await call(other, "/x"), kept);
});

test("a preflight lets allowed methods and fields through, on routes without OPTIONS too", async () => {
  const put = { method: "PUT", headers: { "X-Known": "1" } };
  assert.equal((await call(allowed, "/x", put)).status, 200);
  assert.equal((await call(allowed, "/only-put", put)).status, 200);
  assert.deepEqual(served, ["PUT /x", "PUT /only-put"]);
});

test("a preflight stops other methods, other fields and other origins before the service", async () => {
  assert.deepEqual(await call(allowed, "/x", { method: "DELETE" }), kept);
  assert.deepEqual(await call(allowed, "/x", { headers: { "X-Unknown": "1" } }), kept);
  assert.deepEqual(await call(other, "/x", { method: "PUT" }), kept);
  assert.deepEqual(served, []);
});

test("a preflight is remembered", async () => {
  for (let i = 0; i < 3; i += 1) await call(allowed, "/remembered", { method: "PUT" });
  await sidecar.line((line) => line["path"] === "/remembered" && line["method"] === "PUT");
  const preflights = sidecar.lines.filter(
    (line) => line["path"] === "/remembered" && line["method"] === "OPTIONS",
  );
  assert.equal(preflights.length, 1);
});

test("cookies go along and the answer is read only where the policy allows credentials", async () => {
  const include = { credentials: "include" };
  assert.equal((await call(allowed, "/open/login", include)).status, 200);
  assert.equal((await call(allowed, "/open/me", include)).status, 200);
  assert.equal(served.at(-1), "GET /open/me sid=1");
  assert.deepEqual(await call(allowed, "/x", include), kept);
  assert.deepEqual(await call(other, "/open/me", include), kept);
  assert.deepEqual(await call(allowed, "/all/x", include), kept);
});

test("a page reads why the sidecar refused it", async () => {
  const refused = await call(allowed, "/guarded/x");
  assert.equal(refused.status, 401);
  assert.equal((JSON.parse(refused.body ?? "") as { error: string }).error, "Authentication required");
  const known = await call(allowed, "/guarded/x", { headers: { Authorization: "Bearer x" } });
  assert.equal(known.status, 200);
  assert.equal((await call(allowed, "/only-put")).status, 405);
  assert.deepEqual(await call(other, "/guarded/x"), kept);
});

test("* lets every page in, a pattern those it names", async () => {
  assert.equal((await call(other, "/all/x")).status, 200);
  assert.equal((await call(other, "/pattern/x", { method: "PUT" })).status, 200);
  assert.deepEqual(await call(allowed, "/pattern/x"), kept);
});

/** Calls from a sandboxed frame in the allowed page; gives the status, or the name of the error. */
function callFromFrame(path: string): Promise<unknown> {
  return allowed.evaluate(`new Promise((resolve) => {
    addEventListener("message", (event) => resolve(event.data), { once: true });
    const frame = document.createElement("iframe");
    frame.sandbox = "allow-scripts";
    frame.srcdoc = \`<script>fetch(${JSON.stringify(sidecar.url + path)}).then(
      (answer) => parent.postMessage(answer.status, "*"), (error) => parent.postMessage(error.name, "*"))</script>\`;
    document.body.append(frame);
  })`);
}

test("a sandboxed frame has the origin null, which only null lets in", async () => {
  assert.equal(await callFromFrame("/null/x"), 200);
  assert.equal(await callFromFrame("/x"), "TypeError");
});
