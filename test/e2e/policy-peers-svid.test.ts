// Sidecars of one service recognise each other by their SVIDs: the signed policy goes from one to the next over TLS,
// without a token, and to no other peer.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import https from "node:https";
import { type AddressInfo, createServer, type Server } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { after, before, describe, test } from "node:test";
import { type Authority, type Issued, makeAuthority } from "../plugins/auth/authority.ts";
import { connected } from "../support/fronts.ts";
import { outrigger } from "../support/process.ts";
import { requestText } from "../support/raw-http.ts";
import { eventually, freePort, type RedisServer, startRedis } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const token = "a-token-of-the-admin-listeners-0123456789";
const orders = "spiffe://shop.example/ns/shop/sa/orders";
const served = (_request: unknown, response: ServerResponse): void => void response.end("served");

/** An address of this machine that is not loopback: what comes by it needs a right. */
const outside = Object.values(networkInterfaces())
  .flatMap((addresses) => addresses ?? [])
  .find(({ family, internal }) => family === "IPv4" && !internal)?.address;

describe("sidecars of one SPIFFE id", () => {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-siblings-"));
  const authority: Authority = makeAuthority();
  const stranger: Authority = makeAuthority("stranger");
  const own = authority.issue("own", `URI:${orders}`);
  let redis: RedisServer;
  let sibling: TestSidecar;
  let jwks: string;

  /** Files of a sidecar, as a rotator writes them. */
  const rotate = (name: string, { cert, key }: Issued, bundle: string): Record<string, string> => {
    const at = (file: string): string => join(folder, `${name}-${file}.pem`);
    writeFileSync(at("svid"), cert);
    writeFileSync(at("key"), key);
    writeFileSync(at("bundle"), bundle);
    return {
      OUTRIGGER_SPIFFE_CERT: at("svid"),
      OUTRIGGER_SPIFFE_KEY: at("key"),
      OUTRIGGER_SPIFFE_BUNDLE: at("bundle"),
    };
  };
  const start = async (env: Record<string, string>, redisUrl?: string): Promise<TestSidecar> =>
    await startSidecar({
      redisUrl: redisUrl ?? `redis://127.0.0.1:${await freePort()}`,
      upstream: served,
      env: {
        OUTRIGGER_SERVICE: "orders",
        OUTRIGGER_POLICY_KEYS: jwks,
        OUTRIGGER_ADMIN: "0.0.0.0:0",
        ...env,
      },
    });
  const hostOf = ({ adminUrl }: TestSidecar): string => `${outside}:${new URL(adminUrl).port}`;
  /** By its listener, which speaks TLS. */
  const markOf = async ({ port }: TestSidecar): Promise<string | undefined> => {
    const { promise, resolve, reject } = Promise.withResolvers<string | undefined>();
    const request = https.get(
      { port, host: "127.0.0.1", rejectUnauthorized: false, agent: false },
      (answer) => {
        answer.resume();
        resolve(answer.headers["x-mark"] as string | undefined);
      },
    );
    request.once("error", reject);
    return await promise;
  };
  const whyOf = async ({ adminUrl }: TestSidecar): Promise<string> => {
    const port = Number(new URL(adminUrl).port);
    const { lastError } = (await (await fetch(`http://127.0.0.1:${port}/policy`)).json()) as {
      lastError: { problems: { message: string }[] } | null;
    };
    return (lastError?.problems ?? []).map(({ message }) => message).join("; ");
  };

  /** @returns the status, or "none" where no connection comes to be on which one is answered */
  async function ask(line: string, options?: tls.ConnectionOptions): Promise<number | "none"> {
    const [method, path] = line.split(" ");
    const place = { host: outside, port: new URL(sibling.adminUrl).port, method, path, agent: false };
    const request =
      options === undefined
        ? http.request(place)
        : https.request({ ...place, ca: authority.cert, checkServerIdentity: () => undefined, ...options });
    const { promise, resolve } = Promise.withResolvers<number | "none">();
    request.once("response", (answer) => {
      answer.resume().once("end", () => resolve(answer.statusCode ?? 0));
    });
    request.once("error", () => resolve("none"));
    request.end();
    return await promise;
  }

  before(async () => {
    assert.ok(outside, "this machine has no address besides loopback to test from");
    const keyFile = join(folder, "signing.json");
    const document = join(folder, "policy.json");
    const transform = { addResponseHeaders: { "x-mark": "signed" } };
    const policy = { apiVersion: "outrigger/v1", plugins: ["transform"], pluginConfig: { transform } };
    writeFileSync(document, JSON.stringify(policy));
    jwks = (await outrigger(["policy", "keygen", keyFile], {})).stdout;
    const { stdout: signed } = await outrigger(["policy", "sign", document, "--key", keyFile], {});
    redis = await startRedis();
    await redis.cli.set("outrigger:policy", signed);
    sibling = await start(rotate("sibling", own, authority.cert), redis.url);
    await eventually("the sibling has it", async () => (await markOf(sibling)) === "signed");
  });
  after(async () => {
    await sibling.stop();
    await redis.close();
    for (const each of [authority, stranger]) each.close();
    rmSync(folder, { recursive: true });
  });

  test("give the signed policy on, and no token is set anywhere", async () => {
    const issued = authority.issue("second", `URI:${orders}`);
    const second = await start({
      ...rotate("second", issued, authority.cert),
      OUTRIGGER_PEERS: hostOf(sibling),
    });
    await eventually("it serves", async () => (await markOf(second)) === "signed");
    await second.stop();
  });

  test("show each other that and nothing else", async () => {
    const { cert, key } = authority.issue("third", `URI:${orders}`);
    const found = [];
    for (const line of [
      "GET /policy/signed",
      "HEAD /policy/signed",
      "POST /policy/signed",
      "GET /livez",
      "GET /policy",
      "GET /plugins",
      "GET /tap",
      "PUT /loglevel",
      "POST /drain",
      "POST /quit",
    ])
      found.push(await ask(line, { cert, key }));
    assert.deepEqual(found, [200, 200, 405, 200, 403, 403, 403, 403, 403, 403]);
  });

  test("do not take others for one of them", async () => {
    const issue = (by: Authority, name: string, names: string, ...more: string[]): Issued =>
      by.issue(name, names, ...more);
    const path = "GET /policy/signed";
    for (const [what, { cert, key }] of [
      ["another service", issue(authority, "a", "URI:spiffe://shop.example/ns/shop/sa/cart")],
      ["below its id", issue(authority, "b", `URI:${orders}/more`)],
      ["another trust domain", issue(authority, "c", "URI:spiffe://other.example/ns/shop/sa/orders")],
      ["two ids", issue(authority, "d", `URI:${orders},URI:spiffe://shop.example/x`)],
      ["an authority", issue(authority, "e", `URI:${orders}`, "basicConstraints=CA:TRUE")],
      ["no id", issue(authority, "f", "DNS:orders")],
    ] as const)
      assert.deepEqual(
        [await ask(path, { cert, key }), await ask("GET /livez", { cert, key })],
        [403, 200],
        what,
      );
    const over = authority.issueOver("over", `URI:${orders}`);
    assert.equal(await ask(path, { cert: over.cert, key: over.key }), "none", "its time is over");
    const forged = issue(stranger, "g", `URI:${orders}`);
    assert.equal(await ask(path, { cert: forged.cert, key: forged.key }), "none", "signed by somebody else");
    assert.equal(await ask(path, {}), "none", "no certificate");
    const { cert, key } = own;
    assert.equal(await ask(path, { cert, key, maxVersion: "TLSv1.2" }), "none", "an old TLS");
  });

  test("go on in clear for probes and scrapers, to whom nothing more is shown", async () => {
    const lines = ["GET /livez", "GET /readyz", "GET /metrics", "GET /policy/signed"];
    assert.deepEqual(await Promise.all(lines.map((line) => ask(line))), [200, 200, 200, 403]);
  });

  test("are known by what is renewed, on connections that stand, too", async () => {
    const next = makeAuthority("next");
    const { cert, key } = own;
    const place = { host: outside, port: Number(new URL(sibling.adminUrl).port) };
    const checks = { ca: authority.cert, checkServerIdentity: () => undefined };
    const standing = await connected(tls.connect({ ...place, ...checks, cert, key }), "secureConnect");
    const statusOf = async (path: string): Promise<number> => {
      standing.send(requestText("GET", path, []));
      return (await standing.answer()).status;
    };
    assert.equal(await statusOf("/policy/signed"), 200);
    const renewed = next.issue("renewed", `URI:${orders}`);
    rotate("sibling", renewed, next.cert);
    process.emit("SIGHUP", "SIGHUP");
    const after = [await statusOf("/policy/signed"), await statusOf("/livez")];
    assert.deepEqual(after, [403, 200], "its authority is taken away");
    standing.socket.destroy();
    const ca = [authority.cert, next.cert];
    assert.equal(await ask("GET /policy/signed", { cert, key, ca }), "none");
    const now = next.issue("now", `URI:${orders}`);
    assert.equal(await ask("GET /policy/signed", { cert: now.cert, key: now.key, ca }), 200);
    rotate("sibling", own, authority.cert);
    process.emit("SIGHUP", "SIGHUP");
    assert.equal(await ask("GET /policy/signed", { cert, key }), 200);
    next.close();
  });

  describe("that have no policy", () => {
    /** What stands in a sibling's place. */
    async function listening(server: Server): Promise<{ host: string; close(): void }> {
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      return {
        host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
        close: () => void server.close(),
      };
    }
    let count = 0;
    const asking = async (...peers: string[]): Promise<TestSidecar> =>
      await start({
        ...rotate(`asking-${(count += 1)}`, own, authority.cert),
        OUTRIGGER_ADMIN_TOKEN: token,
        OUTRIGGER_PEERS: peers.join(),
      });

    test("show siblings their SVID, and the token to nobody", async () => {
      const seen: string[] = [];
      const answer = (request: IncomingMessage, response: ServerResponse): void => {
        const names = (request.socket as tls.TLSSocket).getPeerX509Certificate()?.subjectAltName;
        seen.push(`${request.method} ${request.url} ${names} ${request.headers.authorization}`);
        response.writeHead(404).end();
      };
      const { cert, key } = authority.issue("fourth", `URI:${orders}`);
      const trust = { ca: authority.cert, requestCert: true };
      const fourth = await listening(https.createServer({ cert, key, ...trust }, answer));
      const sidecar = await asking(fourth.host);
      await eventually("it says why", async () => /answers 404/.test(await whyOf(sidecar)));
      assert.equal(seen[0], `GET /policy/signed URI:${orders} undefined`);
      await sidecar.stop();
      fourth.close();
    });

    test("ask nobody who is not one of them", async () => {
      const seen: string[] = [];
      const answer = ({ url }: IncomingMessage, response: ServerResponse): void => {
        seen.push(url ?? "");
        response.end();
      };
      const cart = authority.issue("cart", "URI:spiffe://shop.example/ns/shop/sa/cart");
      const named = authority.issue("named", "IP:127.0.0.1,DNS:localhost");
      const forged = stranger.issue("forged", `URI:${orders}`);
      const over = authority.issueOver("ended", `URI:${orders}`);
      const imposters = [
        [https.createServer({ cert: cart.cert, key: cart.key }, answer), `is not ${orders}`],
        [https.createServer({ cert: named.cert, key: named.key }, answer), `is not ${orders}`],
        [https.createServer({ cert: forged.cert, key: forged.key }, answer), "unable to"],
        [https.createServer({ cert: over.cert, key: over.key }, answer), "certificate has expired"],
        [http.createServer(answer), "SSL routines"],
      ] as const;
      const ask = async ([server, why]: (typeof imposters)[number]): Promise<void> => {
        const imposter = await listening(server);
        const sidecar = await asking(imposter.host);
        await eventually(`it says ${why}`, async () => (await whyOf(sidecar)).includes(why));
        await sidecar.stop();
        imposter.close();
      };
      await Promise.all(imposters.map(ask));
      assert.deepEqual(seen, []);
    });

    test("are not held up by who is silent, in the handshake or behind it", async () => {
      const { cert, key } = authority.issue("fifth", `URI:${orders}`);
      const open = new Set<{ destroy(): void }>();
      const silent = createServer((socket) => void open.add(socket));
      const silentBehind = tls.createServer({ cert, key }, (socket) => void open.add(socket));
      const imposters = [await listening(silent), await listening(silentBehind)];
      const sidecar = await asking(...imposters.map(({ host }) => host), hostOf(sibling));
      await eventually("it serves", async () => (await markOf(sidecar)) === "signed");
      await sidecar.stop();
      for (const socket of open) socket.destroy();
      for (const imposter of imposters) imposter.close();
    });
  });
});
