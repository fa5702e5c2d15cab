// CPU per request that auth adds, and the memory of verified tokens. `node --expose-gc test/bench/auth.ts`
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify, SignJWT, type CryptoKey } from "jose";
import { createKey, keyDigest } from "../../plugins/auth/key-format.ts";
import type { LiveExchange } from "../../src/pipeline/exchange.ts";
import { exchangeFor, makeRoute, makeServices, type Route } from "../plugins/auth/harness.ts";
import { startRedis } from "../support/redis.ts";

const microseconds = (usage: NodeJS.CpuUsage): number => usage.user + usage.system;

/** Median CPU of the whole process per call, in µs. */
async function cpu(rounds: number, calls: number, work: (i: number) => unknown): Promise<number> {
  const seen: number[] = [];
  for (let round = 0; round < rounds + 1; round += 1) {
    const before = process.cpuUsage();
    for (let i = 0; i < calls; i += 1) {
      const returned = work(round * calls + i);
      if (returned instanceof Promise) await returned;
    }
    if (round > 0) seen.push(microseconds(process.cpuUsage(before)) / calls);
  }
  return seen.sort((a, b) => a - b)[Math.floor(rounds / 2)] ?? 0;
}

const row = (name: string, value: string): void => console.log(`${name.padEnd(46)} ${value}`);
const micro = (value: number): string => `${value.toFixed(2)} µs`;

/** What making an exchange costs, to be taken off. */
async function bare(fields: readonly string[]): Promise<number> {
  return await cpu(5, 50_000, () => exchangeFor({ fields }));
}

async function added(name: string, route: Route, fields: readonly string[]): Promise<void> {
  const empty = await bare(fields);
  const full = await cpu(5, 50_000, () => route.hooks.onRequest?.(exchangeFor({ fields })));
  row(name, micro(full - empty));
}

async function knownCallers(): Promise<void> {
  const redis = await startRedis();
  const good = createKey();
  const services = await makeServices({ redisUrl: redis.url });
  await redis.cli.set(
    `outrigger:apikey:${keyDigest(good)}`,
    JSON.stringify({ id: "k", userId: "u", plan: "pro", scopes: ["a"] }),
  );
  const route = await makeRoute(
    { guessing: false, apiKeys: { cacheSeconds: 3_600, negativeSeconds: 3_600 } },
    services,
  );
  for (const key of [good, "wrong-key"]) await route.ask({ fields: ["X-Api-Key", key] });
  await added("known API key", route, ["Host", "a", "X-Api-Key", good]);
  await added("repeated wrong key", route, ["Host", "a", "X-Api-Key", "wrong-key"]);
  const typo = good.slice(0, -1) + (good.endsWith("a") ? "b" : "a");
  await added("mistyped key", route, ["Host", "a", "X-Api-Key", typo]);
  services.close();
  await redis.close();
}

async function tokens(alg: string): Promise<void> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid: "k", alg };
  const services = await makeServices();
  const facts = { issuer: "https://id.example", algorithms: [alg], jwks: { keys: [jwk] }, audience: ["api"] };
  const sign = (i: number, key: CryptoKey): Promise<string> =>
    new SignJWT({
      scope: "read write",
      plan: "pro",
      roles: ["a", "b"],
      text: "x".repeat(400),
      jti: String(i),
    })
      .setProtectedHeader({ alg, kid: "k", typ: "JWT" })
      .setIssuer("https://id.example")
      .setAudience("api")
      .setSubject(`user-${i}`)
      .setExpirationTime("1h")
      .sign(key);
  const count = 1_000;
  const all: string[] = [];
  for (let i = 0; i < count; i += 1) all.push(await sign(i, privateKey));
  const exchanges = (): LiveExchange[] =>
    all.map((token) => exchangeFor({ fields: ["Authorization", `Bearer ${token}`] }));
  // Alternating, so that a noisy machine is as noisy for both; the first rounds only warm up.
  const { state } = await makeRoute({}, services);
  const keys = createLocalJWKSet({ keys: [jwk] });
  const jose = { algorithms: [alg], issuer: "https://id.example", audience: "api" };
  const [own, theirs]: [number[], number[]] = [[], []];
  for (let round = 0; round < 16; round += 1) {
    const measure = async (into: number[], work: () => Promise<void>): Promise<void> => {
      globalThis.gc?.();
      const before = process.cpuUsage();
      await work();
      if (round >= 4) into.push(microseconds(process.cpuUsage(before)) / count);
    };
    // Other options, so another cache: every token is new again.
    const jwt = { issuers: [facts], cacheBytes: 10_000_000 + round };
    const fresh = await makeRoute({ guessing: false, jwt }, services, state);
    const asked = exchanges();
    await measure(theirs, async () => {
      for (const token of all) await jwtVerify(token, keys, jose);
    });
    await measure(own, async () => {
      for (const exchange of asked) await fresh.hooks.onRequest?.(exchange);
    });
    await fresh.close();
  }
  const median = (list: number[]): number => list.sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0;
  const [ours, alone] = [median(own), median(theirs)];
  row(
    `first-seen ${alg} token`,
    `${micro(ours)}, jose's jwtVerify ${micro(alone)}, +${((ours / alone - 1) * 100).toFixed(0)} %`,
  );
  if (alg === "ES256") {
    const route = await makeRoute(
      { guessing: false, jwt: { issuers: [facts], cacheSeconds: 3_600 } },
      services,
    );
    await route.ask({ fields: ["Authorization", `Bearer ${all[0]}`] });
    await added("token verified before (ES256, 0.9 KB)", route, [
      "Host",
      "a",
      "Authorization",
      `Bearer ${all[0]}`,
    ]);
  }
}

/** 100,000 tokens that differ, through one sidecar's cache. */
async function memory(): Promise<void> {
  const server = http.createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const secret = "0123456789abcdef0123456789abcdef";
  const services = await makeServices({ secrets: { SECRET_JWT: secret } });
  const facts = {
    issuer: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    secret: "SECRET_JWT",
  };
  const route = await makeRoute({ guessing: false, jwt: { issuers: [facts] } }, services);
  const key = new TextEncoder().encode(secret);
  const sign = (i: number): Promise<string> =>
    new SignJWT({
      scope: "read write",
      plan: "pro",
      roles: ["a", "b"],
      name: `Name ${i}`,
      text: "x".repeat(300) + i,
    })
      .setProtectedHeader({ alg: "HS256" })
      .setIssuer(facts.issuer)
      .setSubject(`user-${i}`)
      .setExpirationTime("1h")
      .sign(key);
  const heap = (): number => {
    globalThis.gc?.();
    globalThis.gc?.();
    const usage = process.memoryUsage();
    return usage.heapUsed + usage.external;
  };
  for (let i = 0; i < 2_000; i += 1)
    await route.ask({ fields: ["Authorization", `Bearer ${await sign(-i)}`] });
  const before = heap();
  for (let i = 0; i < 100_000; i += 1)
    await route.ask({ fields: ["Authorization", `Bearer ${await sign(i)}`] });
  row("memory after 100,000 distinct tokens", `+${((heap() - before) / 1_048_576).toFixed(1)} MiB`);
  row("  of which kept", `${route.state.tokens.values()[0]?.cached}`);
  server.close();
}

// First, while nothing else has left its garbage.
if (globalThis.gc !== undefined) await memory();
await knownCallers();
for (const alg of ["RS256", "ES256", "EdDSA"]) await tokens(alg);
process.exit();
