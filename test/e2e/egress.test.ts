// Two sidecars that speak mTLS to each other: the service of one calls the service of the other through egress.
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { after, before, describe, it } from "node:test";
import { loadConfig } from "../../src/app/environment.ts";
import type { ClientTls } from "../../src/plugin-api/contract.ts";
import { type Authority, type Issued, makeAuthority } from "../plugins/auth/authority.ts";
import { pluginWith } from "../support/plugins.ts";
import { rawClient, requestText } from "../support/raw-http.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

describe("egress", () => {
  const [cart, orders] = ["spiffe://shop.example/cart", "spiffe://shop.example/orders"];
  let authority: Authority;
  let callee: TestSidecar;
  let caller: TestSidecar;
  let egress: { host: string; port: number };
  let seen: { url: string; host: unknown; traceparent: unknown; body: string }[] = [];
  let peers: (ClientTls | undefined)[] = [];
  let failures = 0;

  before(async () => {
    authority = makeAuthority();
    callee = await startSidecar({
      policy: { plugins: ["looker"] },
      registry: [pluginWith("looker", { onRequest: ({ client }) => void peers.push(client.tls) })],
      upstream(request, response) {
        let body = "";
        request.setEncoding("utf8").on("data", (text: string) => (body += text));
        request.on("end", () => {
          const { host, traceparent } = request.headers;
          seen.push({ url: request.url ?? "", host, traceparent, body });
          response.statusCode = failures > 0 ? 503 : 200;
          failures -= 1;
          response.end("of orders");
        });
      },
      env: spiffe(authority.issue("orders", `URI:${orders}`)),
    });
    const at = `127.0.0.1:${callee.port}`;
    caller = await startSidecar({
      policy: { plugins: [] },
      upstream: (_request, response) => response.end("of cart"),
      env: {
        ...spiffe(authority.issue("cart", `URI:${cart}`)),
        OUTRIGGER_EGRESS: "127.0.0.1:0",
        OUTRIGGER_EGRESS_TO: `orders.internal=${at}=${orders}, payments=${at}=spiffe://shop.example/payments`,
      },
    });
    const { address } = await caller.line(({ msg }) => msg === "listening for the service's own calls");
    egress = { host: "127.0.0.1", port: Number(String(address).split(":")[1]) };
  });
  after(async () => {
    for (const sidecar of [caller, callee]) await sidecar.stop();
    authority.close();
  });
  const spiffe = ({ certFile, keyFile }: Issued) => ({
    OUTRIGGER_SPIFFE_CERT: certFile,
    OUTRIGGER_SPIFFE_KEY: keyFile,
    OUTRIGGER_SPIFFE_BUNDLE: authority.certFile,
  });
  const call = async (host: string, options: http.RequestOptions = {}, body = "") => {
    [seen, peers] = [[], []];
    const headers = { Host: host, ...(options.headers as object) };
    const request = http.request({ ...egress, path: "/a?b", ...options, headers });
    request.end(body);
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    let text = "";
    for await (const chunk of response.setEncoding("utf8")) text += String(chunk);
    return { status: response.statusCode, text, said: response.headers["proxy-status"] };
  };

  for (const host of ["orders.internal", "ORDERS.internal:8080"]) {
    it(`a call to ${host} comes there, by mTLS, as who the caller is`, async () => {
      const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
      const answer = await call(host, { method: "POST", headers: { traceparent } }, "a body");
      assert.deepEqual(answer, { status: 200, text: "of orders", said: undefined });
      assert.deepEqual(
        peers.map((tls) => tls?.svid?.id),
        [cart],
      );
      const [{ traceparent: passed, ...rest } = { traceparent: "" }] = seen;
      assert.deepEqual(rest, { url: "/a?b", host, body: "a body" });
      assert.match(String(passed), /^00-a{32}-/);
    });
  }

  it("a call in the form for proxies, too", async () => {
    const answer = await call("orders.internal", { path: "http://orders.internal/x" });
    assert.equal(answer.status, 200);
    assert.equal(seen[0]?.url, "/x");
  });

  it("a call that may be made twice is, where the other end fails", async () => {
    failures = 1;
    assert.equal((await call("orders.internal")).status, 200);
    assert.equal(seen.length, 2);
    failures = 1;
    assert.equal((await call("orders.internal", { method: "POST" })).status, 503);
    failures = 0;
  });

  it("a renewed SVID is shown from the next call on, by gRPC too", async () => {
    const shown = async (headers: http.OutgoingHttpHeaders): Promise<(string | undefined)[]> => {
      await call("orders.internal", { headers });
      return peers.map((tls) => tls?.certificate && new X509Certificate(tls.certificate).serialNumber);
    };
    const kinds = [{}, { "Content-Type": "application/grpc", TE: "trailers" }];
    for (const headers of kinds) await shown(headers);
    const { cert } = authority.issue("cart", `URI:${cart}`);
    process.emit("SIGHUP", "SIGHUP");
    for (const headers of kinds)
      assert.deepEqual(await shown(headers), [new X509Certificate(cert).serialNumber]);
  });

  it("nothing goes to somebody else than the settings say is there", async () => {
    for (const headers of [{}, { "Content-Type": "application/grpc", TE: "trailers" }]) {
      const { said } = await call("payments", { headers });
      assert.equal(said, "outrigger; error=tls_certificate_error");
    }
    assert.equal((await call("payments")).status, 502);
    assert.deepEqual([seen, peers], [[], []]);
    const told = await caller.line(({ host }) => host === "payments");
    assert.deepEqual([told["expected"], told["found"]], ["spiffe://shop.example/payments", orders]);
  });

  it("nobody of another trust domain can be named", () => {
    const env = {
      OUTRIGGER_UPSTREAM: "http://127.0.0.1:1",
      ...spiffe(authority.issue("other", `URI:${cart}`)),
      OUTRIGGER_EGRESS: "127.0.0.1:0",
    };
    const to = (peer: string): void =>
      void loadConfig({ ...env, OUTRIGGER_EGRESS_TO: `a=127.0.0.1:1=${orders},b=127.0.0.1:1=${peer}` });
    to(orders);
    assert.throws(() => to("spiffe://other.example/orders"), /b: .* another trust domain than shop\.example/);
  });

  it("nothing goes anywhere else", async () => {
    for (const host of [
      "example.com",
      "127.0.0.1",
      "orders",
      "orders.internal.",
      "x.orders.internal",
      "[::1]:80",
    ])
      assert.equal((await call(host)).status, 404, host);
    const target = `127.0.0.1:${callee.port}`;
    for (const text of [
      requestText("CONNECT", target, [`Host: ${target}`]),
      requestText("GET", "http://example.com/", ["Host: orders.internal"]),
      requestText("GET", "/", ["Host: orders.internal", "Host: example.com"]),
    ]) {
      const client = rawClient(net.connect(egress));
      client.send(text);
      assert.ok((await client.answer()).status >= 400, text);
      client.socket.destroy();
    }
    assert.deepEqual([seen, peers], [[], []]);
  });
});
