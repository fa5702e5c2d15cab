// One client makes the sidecar fail for all: errors and waits that are shared, and input that is nested too deep.
import assert from "node:assert/strict";
import { createHmac, hash } from "node:crypto";
import type { Attack } from "../attack.ts";
import http from "node:http";
import type { AddressInfo } from "node:net";
import type { Scene } from "../../support/scene.ts";
import type { TestSidecar } from "../../support/sidecar.ts";

const goodKey = "a-good-key-of-somebody-else";
const keys = [{ sha256: hash("sha256", goodKey), id: "k1", userId: "u1", scopes: [] }];

const hmacKey = "a-secret-of-two-and-thirty-bytes!";

/** A valid token of the issuer that `hmacKey` belongs to. */
function goodJwt(): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { iss: "https://id.example", sub: "u2", exp: Math.floor(Date.now() / 1000) + 600 };
  const signed = `${part({ alg: "HS256" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", hmacKey).update(signed).digest("base64url")}`;
}

/** Number of refused bearer tokens in the log so far. */
const junkSeen = ({ lines }: TestSidecar): number =>
  lines.filter(({ msg, status }) => msg === "request" && status === 503).length;

const guarded = (scene: Scene, auth: Record<string, unknown>, env = {}): Promise<TestSidecar> =>
  scene.sidecar({
    policy: { plugins: ["logging", "auth"], pluginConfig: { auth: { apiKeys: { keys }, ...auth } } },
    upstream: (_request, response) => response.end("served"),
    env: { OUTRIGGER_TRUSTED_PROXIES: "127.0.0.0/8", ...env },
  });

const statusFor = async (sidecar: TestSidecar, headers: Record<string, string>): Promise<number> => {
  const answer = await fetch(sidecar.url, { headers });
  await answer.arrayBuffer();
  return answer.status;
};

/** An authorization server that accepts every request and answers none. */
async function silentServer(scene: Scene): Promise<string> {
  const server = http.createServer(() => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  scene.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

export const attacks: readonly Attack[] = [
  {
    row: "Z7",
    what: "names an address with a zone in X-Forwarded-For beside a bad key, again and again",
    async run(scene) {
      const sidecar = await guarded(scene, {});
      for (let i = 0; i < 8; i += 1) {
        const bad = { "x-forwarded-for": "fe80::1%br-0", "x-api-key": "bad" };
        assert.equal(await statusFor(sidecar, bad), 401, "the bad key");
      }
      assert.equal(await statusFor(sidecar, { "x-api-key": goodKey }), 200, "another's good key");
    },
  },
  {
    row: "Z10",
    what: "shows so many bad keys from a shared address that its neighbours are shut out",
    async run(scene) {
      const issuers = [{ issuer: "https://id.example", secret: "SECRET_J", algorithms: ["HS256"] }];
      const sidecar = await guarded(
        scene,
        { guessing: { failures: 20 }, jwt: { issuers } },
        { OUTRIGGER_SECRET_J: hmacKey },
      );
      for (let i = 0; i < 20; i += 1)
        assert.equal(await statusFor(sidecar, { "x-api-key": `bad-${i}` }), 401);
      const forged = `${goodJwt().slice(0, -4)}AAAA`;
      assert.equal(await statusFor(sidecar, { "x-api-key": "bad-20" }), 429, "one more bad key");
      assert.equal(await statusFor(sidecar, { authorization: `Bearer ${forged}` }), 429, "a forged token");
      assert.equal(
        await statusFor(sidecar, { authorization: `Bearer ${goodJwt()}` }),
        200,
        "a fresh good token",
      );
    },
  },
  {
    row: "Z9",
    what: "sends unsigned tokens of thousands of nested arrays, where long tokens are taken",
    async run(scene) {
      const issuers = [{ issuer: "https://id.example", secret: "SECRET_J", algorithms: ["HS256"] }];
      const sidecar = await guarded(
        scene,
        { guessing: false, jwt: { issuers, maxTokenBytes: 65_536 } },
        { OUTRIGGER_SECRET_J: hmacKey, OUTRIGGER_MAX_HEADER_BYTES: "131072" },
      );
      for (const levels of [5_700, 20_000]) {
        const deep = `{"iss":"https://id.example","a":${"[".repeat(levels)}${"]".repeat(levels)}}`;
        const token = [`{"alg":"HS256"}`, deep, "s"]
          .map((part) => Buffer.from(part).toString("base64url"))
          .join(".");
        for (let i = 0; i < 6; i += 1)
          assert.equal(await statusFor(sidecar, { authorization: `Bearer ${token}` }), 401, "the deep token");
      }
      assert.equal(await statusFor(sidecar, { authorization: `Bearer ${goodJwt()}` }), 200, "a good token");
    },
  },
  {
    row: "Z8",
    what: "sends hundreds of made-up bearer tokens while the introspection hangs",
    async run(scene) {
      const endpoint = await silentServer(scene);
      const introspection = { endpoint, clientId: "c", clientSecret: "SECRET_C", timeoutMs: 300 };
      const issuers = [{ issuer: "https://id.example", secret: "SECRET_J", algorithms: ["HS256"] }];
      const sidecar = await guarded(
        scene,
        { guessing: false, jwt: { issuers, introspection } },
        { OUTRIGGER_SECRET_C: "c", OUTRIGGER_SECRET_J: hmacKey },
      );
      const startedMs = performance.now();
      const junk = Array.from({ length: 600 }, (_, i) =>
        statusFor(sidecar, { authorization: `Bearer junk-${i}` }),
      );
      // Continues only once the last of them waits.
      while (junkSeen(sidecar) < 1) await statusFor(sidecar, { "x-api-key": goodKey });
      const good = performance.now();
      assert.equal(await statusFor(sidecar, { "x-api-key": goodKey }), 200, "a good key");
      assert.equal(await statusFor(sidecar, { authorization: `Bearer ${goodJwt()}` }), 200, "a good token");
      assert.ok(performance.now() - good < 10_000, "neither waits");
      assert.deepEqual(new Set(await Promise.all(junk)), new Set([503]));
      assert.ok(
        performance.now() - startedMs < 60_000,
        "nor does the junk: one after another they would take three minutes",
      );
      assert.equal(await statusFor(sidecar, { "x-api-key": goodKey }), 200, "a good key afterwards");
    },
  },
];
