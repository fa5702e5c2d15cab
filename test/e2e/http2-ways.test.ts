// HTTP/2 on all the paths that HTTP/1.1 requests can take: unix sockets on both sides, TLS to the service, and the
// effects of settings and plugins on fields and queries.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http2 from "node:http2";
import net, { type AddressInfo, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import tls from "node:tls";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";
import { makeCertificate } from "../support/certificate.ts";

/** The service's own words on what came, in a response that has a priority of its own. */
function tell(stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders): void {
  stream.on("error", () => {});
  stream.respond({ ":status": 200, priority: "u=5" });
  stream.end(JSON.stringify(headers));
}

interface Told {
  readonly status: number;
  readonly priority: string | undefined;
  readonly seen: Readonly<Record<string, string | undefined>>;
}

async function ask(session: http2.ClientHttp2Session, head: http2.OutgoingHttpHeaders): Promise<Told> {
  const stream = session.request(head);
  const [headers] = (await once(stream, "response")) as [http2.IncomingHttpHeaders];
  let body = "";
  for await (const chunk of stream.setEncoding("utf8") as AsyncIterable<string>) body += chunk;
  const status = Number(headers[":status"]);
  const seen = status === 200 ? (JSON.parse(body) as Told["seen"]) : { body };
  return { status, priority: headers["priority"]?.toString(), seen };
}

describe("HTTP/2 over unix sockets, to the sidecar and on to the service", () => {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-ways-"));
  const [front, back] = [join(folder, "front.sock"), join(folder, "back.sock")];
  const service = http2.createServer().on("stream", tell);
  let sidecar: TestSidecar;
  let session: http2.ClientHttp2Session;
  before(async () => {
    service.listen(back);
    await once(service, "listening");
    const key = { sha256: createHash("sha256").update("k1").digest("hex"), id: "k", userId: "u" };
    const auth = { required: false, apiKeys: { keys: [{ ...key, scopes: [] }], query: ["key"] } };
    sidecar = await startSidecar({
      policy: { plugins: ["logging", "auth"], pluginConfig: { auth } },
      upstream: `unix:${back}`,
      env: {
        OUTRIGGER_LISTEN: `unix:${front}`,
        OUTRIGGER_UPSTREAM_PROTOCOL: "h2c",
        OUTRIGGER_UNDERSCORE_FIELDS: "keep",
      },
    });
    session = http2.connect("http://a.test", { createConnection: () => net.connect({ path: front }) });
  });
  after(async () => {
    session.destroy();
    await sidecar.stop();
    service.close();
    rmSync(folder, { recursive: true });
  });

  it("is HTTP/2 on both", async () => {
    const { status, seen } = await ask(session, { ":path": "/a?b=1", ":authority": "a.test" });
    assert.equal(status, 200);
    assert.deepEqual(
      [seen[":path"], seen[":authority"], seen[":scheme"], seen["via"], seen["x-forwarded-for"]],
      ["/a?b=1", "a.test", "http", "2.0 outrigger", "unix"],
    );
  });

  it("passes Priority on, both ways", async () => {
    const { seen, priority } = await ask(session, { ":path": "/", priority: "u=1, i" });
    assert.deepEqual([seen["priority"], priority], ["u=1, i", "u=5"]);
  });

  it("keeps fields with _ where that is set, but for those that are another's", async () => {
    const forged = { transfer_encoding: "chunked", content_length: "5", x_user_id: "root", connection_: "x" };
    const { status, seen } = await ask(session, { ":path": "/", fine_field: "1", ...forged });
    assert.equal(status, 200);
    assert.equal(seen["fine_field"], "1");
    for (const name of ["transfer_encoding", "content_length", "x_user_id"])
      assert.equal(seen[name], undefined, name);
    assert.equal((await ask(session, { ":path": "/", x_api_key: "nobody" })).status, 401);
  });

  it("gives parameters that a plugin owns to that plugin alone", async () => {
    const { seen } = await ask(session, { ":path": "/owned?b=1&key=k1&c=2" });
    assert.equal(seen[":path"], "/owned?b=1&c=2");
    assert.equal((await sidecar.line(({ path }) => path === "/owned"))["userId"], "u");
    assert.equal((await ask(session, { ":path": "/a?key=k2" })).status, 401);
    assert.doesNotMatch(JSON.stringify(sidecar.lines), /key=|k2/);
  });
});

describe("HTTP/2 over TLS to the service", () => {
  const { key, cert } = makeCertificate();
  const folder = mkdtempSync(join(tmpdir(), "outrigger-ways-"));
  const ca = join(folder, "ca.pem");
  writeFileSync(ca, cert);
  after(() => rmSync(folder, { recursive: true }));

  async function asked(service: Server): Promise<Response> {
    service.listen(0, "127.0.0.1");
    await once(service, "listening");
    const { port } = service.address() as AddressInfo;
    await using sidecar = await startSidecar({
      policy: { plugins: ["logging"] },
      upstream: `https://127.0.0.1:${port}`,
      env: { OUTRIGGER_UPSTREAM_PROTOCOL: "h2", OUTRIGGER_UPSTREAM_CA: ca },
    });
    const response = await fetch(sidecar.url, { headers: { priority: "u=2" } });
    await response.clone().arrayBuffer();
    service.close();
    return response;
  }

  it("is agreed on by ALPN, and says that it is https", async () => {
    const service = http2.createSecureServer({ key, cert }).on("stream", tell);
    const response = await asked(service);
    assert.deepEqual([response.status, response.headers.get("priority")], [200, "u=5"]);
    const seen = (await response.json()) as Told["seen"];
    assert.deepEqual([seen[":scheme"], seen["priority"]], ["https", "u=2"]);
  });

  it("is 502 where the service agrees on HTTP/1.1 or on nothing", async () => {
    for (const ALPNProtocols of [["http/1.1"], []]) {
      const service = tls.createServer({ key, cert, ALPNProtocols }, (socket) => {
        socket.on("error", () => {}).end("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
      });
      service.on("tlsClientError", () => {});
      const response = await asked(service);
      const { code } = (await response.json()) as { code: string };
      assert.equal(response.status, 502, code);
    }
  });
});
