// A sidecar with an SVID: which peers it accepts, and renewal by a rotator.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls, { type TLSSocket } from "node:tls";
import { after, before, describe, it } from "node:test";
import { type Authority, type Issued, makeAuthority } from "../plugins/auth/authority.ts";
import { connected } from "../support/fronts.ts";
import { type RawClient, requestText } from "../support/raw-http.ts";
import { eventually } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

describe("SPIFFE", () => {
  const cart = "spiffe://shop.example/ns/shop/sa/cart";
  let folder: string;
  let authority: Authority;
  let stranger: Authority;
  let sidecar: TestSidecar;
  const rules = [
    { path: "/cart/*", peer: [cart] },
    // The second is of a trust domain that is not ours: nobody is that.
    { path: "/any/*", peer: ["spiffe://shop.example/ns/*", "spiffe://other.example/*"] },
    { path: "/known/*", peer: [cart], allow: {} },
  ];
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "outrigger-spiffe-"));
    authority = makeAuthority();
    stranger = makeAuthority("stranger");
    rotate(authority.issue("own", "URI:spiffe://shop.example/ns/shop/sa/orders"));
    sidecar = await startSidecar({
      policy: { plugins: ["auth"], pluginConfig: { auth: { required: false, rules } } },
      upstream: (_request, response) => response.end("ok"),
      env: {
        OUTRIGGER_SPIFFE_CERT: join(folder, "svid.pem"),
        OUTRIGGER_SPIFFE_KEY: join(folder, "svid_key.pem"),
        OUTRIGGER_SPIFFE_BUNDLE: authority.certFile,
      },
    });
  });
  after(async () => {
    await sidecar.stop();
    for (const each of [authority, stranger]) each.close();
    rmSync(folder, { recursive: true });
  });
  const rotate = ({ cert, key }: Issued): void => {
    writeFileSync(join(folder, "svid.pem"), cert);
    writeFileSync(join(folder, "svid_key.pem"), key);
  };
  const connect = (options: tls.ConnectionOptions = {}): Promise<RawClient> => {
    const place = { port: sidecar.port, host: "127.0.0.1", ca: authority.cert };
    return connected(
      tls.connect({ ...place, checkServerIdentity: () => undefined, ...options }),
      "secureConnect",
    );
  };
  const statusOf = async (client: RawClient, path: string, ...fields: string[]): Promise<number> => {
    client.send(requestText("GET", path, fields));
    return (await client.answer()).status;
  };
  const statuses = async (options?: tls.ConnectionOptions): Promise<number[]> => {
    const client = await connect(options);
    const found = [];
    for (const path of ["/open", "/any/x", "/cart/x", "/known/x"]) found.push(await statusOf(client, path));
    client.socket.destroy();
    return found;
  };

  it("lets in the peers that the policy names, by their ids alone", async () => {
    const other = authority.issue("other", "URI:spiffe://shop.example/ns/shop/sa/other");
    assert.deepEqual(await statuses(authority.issue("cart", `URI:${cart}`)), [200, 200, 200, 401]);
    assert.deepEqual(await statuses(other), [200, 200, 401, 401]);
    assert.deepEqual(await statuses(), [200, 401, 401, 401]);
  });

  it("takes nobody else for a peer", async () => {
    for (const [what, { cert, key }] of [
      ["another trust domain", authority.issue("a", "URI:spiffe://other.example/ns/shop/sa/cart")],
      ["two ids", authority.issue("b", `URI:${cart},URI:spiffe://shop.example/ns/x`)],
      ["a DNS name", authority.issue("c", "DNS:cart")],
      ["signed by somebody else", stranger.issue("d", `URI:${cart}`)],
    ] as const)
      assert.deepEqual(await statuses({ cert, key }), [200, 401, 401, 401], what);
  });

  it("believes no field", async () => {
    const client = await connect();
    const field = `X-Forwarded-Client-Cert: URI=${cart}`;
    assert.equal(await statusOf(client, "/cart/x", field), 401);
    client.socket.destroy();
  });

  it("shows a renewed SVID, and none of another trust domain", async () => {
    const shown = async (): Promise<string | undefined> => {
      const client = await connect();
      const names = (client.socket as TLSSocket).getPeerX509Certificate()?.subjectAltName;
      client.socket.destroy();
      return names;
    };
    const reload = (): void => void process.emit("SIGHUP", "SIGHUP");
    rotate(authority.issue("next", "URI:spiffe://shop.example/ns/shop/sa/orders,DNS:next"));
    reload();
    assert.match((await shown()) ?? "", /DNS:next/);
    rotate(authority.issue("far", "URI:spiffe://other.example/ns/shop/sa/orders"));
    reload();
    assert.match((await shown()) ?? "", /DNS:next/);
    await eventually("it is told", () =>
      sidecar.lines.some(({ msg }) => /the old one serves/.test(String(msg))),
    );
  });
});
