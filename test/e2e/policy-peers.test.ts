// A sidecar that starts without a policy while Redis is dead accepts the signed policy of its siblings, and no other.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { outrigger } from "../support/process.ts";
import { eventually, freePort, type RedisServer, startRedis } from "../support/redis.ts";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-peers-"));
after(() => rmSync(folder, { recursive: true }));
const token = "a-token-of-the-admin-listeners-0123456789";
const served = (_request: unknown, response: http.ServerResponse): void => void response.end("served");

const document = (mark: string): string =>
  JSON.stringify({
    apiVersion: "outrigger/v1",
    plugins: ["transform"],
    pluginConfig: { transform: { addResponseHeaders: { "x-mark": mark } } },
  });

describe("a sidecar without policy and without Redis", () => {
  let redis: RedisServer;
  let sibling: TestSidecar;
  let jwks: string;
  const keyFile = join(folder, "key.json");

  const run = async (args: readonly string[], env: Record<string, string> = {}): Promise<string> => {
    const { code, stdout, stderr } = await outrigger(["policy", ...args], env);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  async function signed(mark: string, ...more: string[]): Promise<string> {
    const file = join(folder, `${mark}.json`);
    writeFileSync(file, document(mark));
    return await run(["sign", file, "--key", keyFile, ...more]);
  }
  const start = async (peers: string, env: Record<string, string> = {}): Promise<TestSidecar> =>
    await startSidecar({
      redisUrl: `redis://127.0.0.1:${await freePort()}`,
      upstream: served,
      env: {
        OUTRIGGER_SERVICE: "orders",
        OUTRIGGER_POLICY_KEYS: jwks,
        OUTRIGGER_ADMIN_TOKEN: token,
        OUTRIGGER_PEERS: peers,
        ...env,
      },
    });
  const markOf = async ({ url }: TestSidecar): Promise<string | null> =>
    (await fetch(url)).headers.get("x-mark");
  const policyOf = async ({ adminUrl }: TestSidecar) =>
    (await (await fetch(`${adminUrl}/policy`)).json()) as {
      source: string;
      signed: string;
      lastError: { problems: { message: string }[] } | null;
    };
  const refusal = async (sidecar: TestSidecar): Promise<string> => {
    await eventually("it says why", async () => (await policyOf(sidecar)).lastError !== null);
    assert.equal((await fetch(sidecar.url)).status, 503);
    const { lastError } = await policyOf(sidecar);
    return (lastError?.problems ?? []).map(({ message }) => message).join("; ");
  };
  const hostOf = ({ adminUrl }: TestSidecar): string => new URL(adminUrl).host;

  /** What somebody else answers in a sibling's place. */
  async function imposter(answer: object): Promise<{ host: string; asked: string[]; close(): void }> {
    const asked: string[] = [];
    const server = http.createServer((request, response) => {
      asked.push(request.url ?? "");
      response.end(JSON.stringify(answer));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return {
      host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
      asked,
      close: () => server.close(),
    };
  }

  before(async () => {
    jwks = await run(["keygen", keyFile]);
    redis = await startRedis();
    await redis.cli.set("outrigger:policy", await signed("two", "--epoch", "2"));
    sibling = await startSidecar({
      redisUrl: redis.url,
      upstream: served,
      env: { OUTRIGGER_SERVICE: "orders", OUTRIGGER_POLICY_KEYS: jwks, OUTRIGGER_ADMIN_TOKEN: token },
    });
    await eventually("the sibling has it", async () => (await markOf(sibling)) === "two");
  });
  after(async () => {
    await sibling.stop();
    await redis.close();
  });

  test("serves by its siblings', whoever of them is away", async () => {
    const sidecar = await start(`127.0.0.1:${await freePort()},${hostOf(sibling)}`);
    await eventually("it serves", async () => (await markOf(sidecar)) === "two");
    const { source, signed: how } = await policyOf(sidecar);
    assert.deepEqual([source, how], ["peer", "verified"]);
    assert.equal((await fetch(`${sidecar.adminUrl}/readyz`)).status, 200);
    // And gives it on.
    const third = await start(hostOf(sidecar));
    await eventually("so does a third", async () => (await markOf(third)) === "two");
    await Promise.all([sidecar.stop(), third.stop()]);
  });

  test("siblings are a name's addresses; one that sends without end, or drop by drop, holds nobody up", async () => {
    const flood = Buffer.alloc(1_048_576, " ");
    let flooded = 0;
    const endless = http.createServer((_request, response) => {
      const send = (): void => {
        if (response.destroyed) return;
        flooded += flood.length;
        response.write(flood, (error) => {
          if (error === null || error === undefined) setImmediate(send);
        });
      };
      send();
    });
    const dripping = http.createServer((_request, response) => {
      const timer = setInterval(() => response.write(" "), 20);
      response.once("close", () => clearInterval(timer));
    });
    for (const server of [endless, dripping])
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const [one, other] = [endless, dripping].map((server) => (server.address() as AddressInfo).port);
    const { port } = new URL(sibling.adminUrl);
    const sidecar = await start(`127.0.0.1:${one},127.0.0.1:${other},localhost:${port}`);
    await eventually("it serves", async () => (await markOf(sidecar)) === "two");
    // Its limit, and what is on its way.
    assert.ok(flooded < 20 * flood.length, `${flooded} bytes`);
    await sidecar.stop();
    for (const server of [endless, dripping]) {
      server.closeAllConnections();
      server.close();
    }
  });

  test("an older one, however it is signed, is not taken behind a signed file", async () => {
    const older = await imposter({
      service: "orders",
      shared: await signed("one", "--epoch", "1"),
      layer: null,
      keySets: [],
    });
    const file = join(folder, "baseline.jws");
    writeFileSync(file, await signed("two", "--epoch", "2"));
    const sidecar = await start(older.host, { OUTRIGGER_POLICY_FILE: file });
    await eventually("it serves", async () => (await markOf(sidecar)) !== null);
    assert.equal(await markOf(sidecar), "two");
    assert.deepEqual(older.asked, ["/policy/signed"]);
    older.close();
    await sidecar.stop();
  });

  test("of several it takes the newest, however the older ones are signed", async () => {
    const older = await imposter({
      service: "orders",
      shared: await signed("one", "--epoch", "1"),
      layer: null,
      keySets: [],
    });
    const sidecar = await start(`${older.host},${hostOf(sibling)}`);
    await eventually("it serves", async () => (await markOf(sidecar)) !== null);
    assert.equal(await markOf(sidecar), "two");
    assert.deepEqual(older.asked, ["/policy/signed"]);
    older.close();
    await sidecar.stop();
  });

  test("a key that is revoked signs nothing for who hides that beside one that does not", async () => {
    const lostKey = join(folder, "lost.json");
    const lost = await run(["keygen", lostKey]);
    const [{ kid } = { kid: "" }] = (JSON.parse(lost) as { keys: { kid: string }[] }).keys;
    const env = { REDIS_URL: redis.url, OUTRIGGER_POLICY_KEYS: jwks };
    const rotate = async (...args: string[]): Promise<string | null> => {
      await run(["rotate", "--key", keyFile, ...args], env);
      return await redis.cli.get("outrigger:policy-keys");
    };
    const trusting = await rotate("--trust", lost);
    const revoking = await rotate("--revoke", kid);
    await eventually("the sibling knows", async () => {
      const headers = { authorization: `Bearer ${token}` };
      const answer = await fetch(`${sibling.adminUrl}/policy/signed`, { headers });
      return ((await answer.json()) as { keySets: string[] }).keySets.includes(String(revoking));
    });
    const stolen = await signed("stolen", "--key", lostKey, "--epoch", "9000000000");
    const liar = await imposter({ service: "orders", shared: stolen, layer: null, keySets: [trusting] });
    const sidecar = await start(`${liar.host},${hostOf(sibling)}`);
    await eventually("it serves", async () => (await markOf(sidecar)) !== null);
    assert.equal(await markOf(sidecar), "two");
    liar.close();
    await sidecar.stop();
  });

  test("takes none that is unsigned, forged, or another service's", async () => {
    const [head = "", , signature = ""] = (await signed("two", "--epoch", "9")).trim().split(".");
    const forged = `${head}.${Buffer.from(document("forged")).toString("base64url")}.${signature}`;
    const answers = [
      { service: "orders", shared: document("unsigned"), layer: null, keySets: [] },
      { service: "orders", shared: forged, layer: null, keySets: [] },
      { service: "bills", shared: await signed("bills"), layer: null, keySets: [] },
      { policy: document("else") },
    ];
    const ask = async (answer: object): Promise<void> => {
      const peer = await imposter(answer);
      const sidecar = await start(peer.host);
      await eventually("it asked", () => peer.asked.length > 0);
      assert.notEqual(await refusal(sidecar), "");
      peer.close();
      await sidecar.stop();
    };
    await Promise.all(answers.map(ask));
  });

  test("says what its peers said: another token, nothing there", async () => {
    const stranger = await start(hostOf(sibling), { OUTRIGGER_ADMIN_TOKEN: `${token}-other` });
    await eventually("it asked", async () =>
      /no peer of OUTRIGGER_PEERS has a signed policy/.test(await refusal(stranger)),
    );
    await stranger.stop();
  });

  test("what nobody signed is shown to nobody", async () => {
    const file = join(folder, "plain.json");
    writeFileSync(file, document("plain"));
    const plain = await startSidecar({ upstream: served, env: { OUTRIGGER_POLICY_FILE: file } });
    const answer = await fetch(`${plain.adminUrl}/policy/signed`);
    assert.equal(answer.status, 404);
    assert.match(await answer.text(), /No signed policy is in force/);
    await plain.stop();
  });
});
