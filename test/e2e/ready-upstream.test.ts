// Readiness that follows the service, if OUTRIGGER_READY_UPSTREAM is set.
import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";
import { eventually } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

test("readyz follows the service's own health, and is bounded when that hangs", async () => {
  let health: number | "hangs" = 503;
  const asked = new Set<string | undefined>();
  const sidecar = await startSidecar({
    policy: { plugins: [] },
    env: { OUTRIGGER_READY_UPSTREAM: "/healthz?deep" },
    upstream: (request, response) => {
      asked.add(request.url);
      if (health !== "hangs") response.writeHead(health).end();
    },
  });
  try {
    const ready = async (): Promise<string> => (await fetch(`${sidecar.adminUrl}/readyz?verbose`)).text();
    await eventually("not ready", async () => (await ready()).includes("[-] upstream: answers 503"));
    health = 204;
    await eventually("ready", async () => (await ready()).endsWith("\nready\n"));
    health = "hangs";
    await eventually("not ready again", async () => (await ready()).includes("[-] upstream: no answer in"));
    assert.deepEqual([...asked], ["/healthz?deep"]);
  } finally {
    await sidecar.stop();
  }
});

describe("readyz and a service of gRPC", () => {
  /** By service; a name that is not there is not known. */
  const statuses: Record<string, number | "hangs"> = {};
  const asked = new Set<string>();
  const server = http2.createServer();
  server.on("stream", (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
    if (headers[":path"] === "/healthz") {
      stream.respond({ ":status": statuses["path"] === 1 ? 204 : 503 }, { endStream: true });
      return;
    }
    let body = Buffer.alloc(0);
    stream.on("data", (chunk: Buffer) => (body = Buffer.concat([body, chunk])));
    stream.on("end", () => {
      // A HealthCheckRequest behind its prefix: field 1 is the name.
      const service = body.length === 5 ? "" : body.subarray(7, 7 + (body[6] ?? 0)).toString();
      asked.add(`${headers[":path"]} ${headers["content-type"]} ${service}`);
      const status = statuses[service];
      if (status === "hangs") return;
      const head = { ":status": 200, "content-type": "application/grpc" };
      if (status === undefined) {
        stream.respond({ ...head, "grpc-status": "5" }, { endStream: true });
        return;
      }
      stream.respond(head, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end(Buffer.from([0, 0, 0, 0, 2, 8, status]));
    });
  });
  let upstream = "";
  before(async () => {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    upstream = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(() => server.close());

  test("follow its health checks, of the server or of one service", async () => {
    const start = (check: string): Promise<TestSidecar> =>
      startSidecar({ policy: { plugins: [] }, env: { OUTRIGGER_READY_UPSTREAM: check }, upstream });
    await using whole = await start("grpc");
    await using one = await start("grpc:shop.Orders");
    const ready = async ({ adminUrl }: TestSidecar): Promise<string> =>
      (await fetch(`${adminUrl}/readyz?verbose`)).text();
    await eventually("not known", async () => (await ready(one)).includes("upstream: answers grpc-status 5"));
    statuses[""] = 1;
    statuses["shop.Orders"] = 2;
    await eventually("ready", async () => (await ready(whole)).endsWith("\nready\n"));
    await eventually("not serving", async () => (await ready(one)).includes("upstream: is NOT_SERVING"));
    statuses[""] = "hangs";
    statuses["shop.Orders"] = 1;
    await eventually("silent", async () => (await ready(whole)).includes("upstream: no answer in"));
    await eventually("serving", async () => (await ready(one)).endsWith("\nready\n"));
    const path = "/grpc.health.v1.Health/Check application/grpc";
    assert.deepEqual([...asked].toSorted(), [`${path} `, `${path} shop.Orders`]);
  });

  test("follow a path over HTTP/2, where that is all that the service speaks", async () => {
    const env = { OUTRIGGER_READY_UPSTREAM: "/healthz", OUTRIGGER_UPSTREAM_PROTOCOL: "h2c" };
    await using sidecar = await startSidecar({ policy: { plugins: [] }, env, upstream });
    const ready = async (): Promise<string> => (await fetch(`${sidecar.adminUrl}/readyz?verbose`)).text();
    await eventually("not ready", async () => (await ready()).includes("upstream: answers 503"));
    statuses["path"] = 1;
    await eventually("ready", async () => (await ready()).endsWith("\nready\n"));
  });

  test("are not asked in words that nobody knows", async () => {
    const env = { OUTRIGGER_READY_UPSTREAM: "grpc:" };
    await assert.rejects(startSidecar({ policy: { plugins: [] }, env, upstream }), /grpc:package\.Service/);
  });
});
