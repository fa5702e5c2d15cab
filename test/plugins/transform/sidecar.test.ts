// Header fields through a running sidecar, as the service and the client see them.
import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { test, type TestContext } from "node:test";
import { z } from "zod";
import { registry } from "../../../plugins/index.ts";
import { definePlugin, type Identity } from "../../../src/plugin-api/contract.ts";
import { identityOf } from "../../support/exchange.ts";
import { startSidecar, type TestSidecar } from "../../support/sidecar.ts";

/** Takes whatever JSON the client shows for its identity: what an auth plugin would have established. */
const believer = definePlugin({
  name: "believer",
  version: "1.0.0",
  apiVersion: 1,
  priority: 10,
  security: false,
  failMode: "closed",
  options: z.strictObject({}),
  setup: () => ({
    onRequest(exchange) {
      const shown = exchange.request.fields.get("x-shown");
      if (shown !== undefined)
        exchange.identity = identityOf(JSON.parse(decodeURIComponent(shown)) as Partial<Identity>);
    },
  }),
});

/** A sidecar before a service that gives back the field lines it got, as JSON. */
async function sidecarOf(t: TestContext, policy: Record<string, unknown>): Promise<TestSidecar> {
  const sidecar = await startSidecar({
    policy: { plugins: ["believer", "transform"], ...policy },
    registry: [...registry, believer],
    upstream: (request, response) => {
      response.setHeader("Server", "service/1");
      response.setHeader("X-Powered-By", "service");
      response.setHeader("Set-Cookie", ["a=1", "b=2"]);
      response.end(JSON.stringify(request.rawHeaders));
    },
  });
  t.after(() => sidecar.stop());
  return sidecar;
}

/** The values the service got under that name, spelled in any way. */
function received(rawHeaders: readonly string[], name: string): string[] {
  const wanted = name.toLowerCase();
  return rawHeaders.filter(
    (_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase().replaceAll("_", "-") === wanted,
  );
}

async function send(sidecar: TestSidecar, path: string, lines: readonly string[]): Promise<string[]> {
  const socket = net.connect(sidecar.port, "127.0.0.1");
  const head = [`GET ${path} HTTP/1.1`, "Host: api.example", "Connection: close", ...lines, "", ""];
  socket.write(head.join("\r\n"));
  let text = "";
  socket.setEncoding("latin1").on("data", (chunk: string) => (text += chunk));
  await once(socket, "close");
  return JSON.parse(/\[.*\]/s.exec(text)?.[0] ?? "null") as string[];
}

const showing = (identity: Partial<Identity>): string =>
  `X-Shown: ${encodeURIComponent(JSON.stringify(identity))}`;

test("identity and filled-in values reach the service", async (t) => {
  const sidecar = await sidecarOf(t, {
    pluginConfig: {
      transform: { addHeaders: { "X-Forwarded-User": "$userId", "X-Trace": "$requestId/$clientIp" } },
    },
  });
  const got = await send(sidecar, "/", [
    "X-Request-Id: r-1",
    showing({ userId: "u1", plan: "pro", scopes: ["a", "b"] }),
  ]);
  const names = ["x-user-id", "x-user-plan", "x-user-scopes", "x-forwarded-user", "x-trace"];
  assert.deepEqual(
    names.map((name) => received(got, name)),
    [["u1"], ["pro"], ["a b"], ["u1"], ["r-1/127.0.0.1"]],
  );
});

test("what a client sends in their place is removed on every route, in any spelling", async (t) => {
  const routes = [
    { path: "/named", pluginConfig: { transform: { addHeaders: { "X-Tier": "$plan" } } } },
    { path: "/bare", plugins: [] },
  ];
  const sidecar = await sidecarOf(t, { routes });
  const forged = [
    "X-User-Id: root",
    "x_user_id: root",
    "X-USER-ID: root",
    "X-User_Plan: x",
    "X-User-Email: x",
  ];
  for (const path of ["/named", "/bare"]) {
    const got = await send(sidecar, path, [...forged, "X-Tier: gold", "x_tier: gold", "X-Other: kept"]);
    for (const name of ["x-user-id", "x-user-plan", "x-user-email", "x-tier"]) {
      assert.deepEqual(received(got, name), [], `${name} on ${path}`);
    }
    assert.deepEqual(received(got, "x-other"), ["kept"]);
  }
  const known = await send(sidecar, "/named", [...forged, showing({ userId: "u1" })]);
  assert.deepEqual(received(known, "x-user-id"), ["u1"]);
});

test("a route's own Authorization replaces the client's there, and takes it from no other route", async (t) => {
  const routes = [
    {
      path: "/internal",
      pluginConfig: { transform: { addHeaders: { Authorization: "Basic c2VydmljZQ==" } } },
    },
    { path: "/*" },
  ];
  const sidecar = await sidecarOf(t, { routes });
  const lines = ["Authorization: Bearer mine"];
  assert.deepEqual(received(await send(sidecar, "/internal", lines), "authorization"), [
    "Basic c2VydmljZQ==",
  ]);
  assert.deepEqual(received(await send(sidecar, "/other", lines), "authorization"), ["Bearer mine"]);
});

test("an identity with line ends gives the service one field and no other", async (t) => {
  const sidecar = await sidecarOf(t, {});
  const got = await send(sidecar, "/", [
    showing({ userId: "u\r\nX-User-Plan: gold\r\n\r\nGET /admin HTTP/1.1" }),
  ]);
  assert.deepEqual(received(got, "x-user-id"), ["u%0D%0AX-User-Plan: gold%0D%0A%0D%0AGET /admin HTTP/1.1"]);
  assert.deepEqual(received(got, "x-user-plan"), []);
});

test("internal response fields go, cookies stay apart, added ones are there", async (t) => {
  const sidecar = await sidecarOf(t, {
    pluginConfig: { transform: { addResponseHeaders: { "X-Frame-Options": "DENY", "Set-Cookie": "c=3" } } },
  });
  const { headers } = await fetch(sidecar.url);
  assert.deepEqual([headers.get("server"), headers.get("x-powered-by")], [null, null]);
  assert.deepEqual(headers.getSetCookie(), ["a=1", "b=2", "c=3"]);
  assert.equal(headers.get("x-frame-options"), "DENY");
});

test("a policy with an unknown variable or a framing field is refused with its path", async (t) => {
  const addHeaders = { "X-A": "$nobody", "Content-Length": "1" };
  const sidecar = await sidecarOf(t, { pluginConfig: { transform: { addHeaders } } });
  const { problems } = await sidecar.line((line) => "problems" in line);
  assert.match(String(problems), /pluginConfig\.transform\.addHeaders.*X-A.*unknown variable \$nobody/s);
  assert.match(String(problems), /pluginConfig\.transform\.addHeaders.*Content-Length/s);
});
