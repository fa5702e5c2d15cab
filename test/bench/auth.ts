// Measures the CPU per request that auth adds, and the memory of verified tokens. `node --expose-gc test/bench/auth.ts`
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { Writable } from "node:stream";
import { createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify, SignJWT, type CryptoKey } from "jose";
import { createKey, keyDigest, keyPath } from "../../plugins/auth/api-keys/key-format.ts";
import { auth } from "../../plugins/auth/index.ts";
import type { AuthState } from "../../plugins/auth/state.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import type { Hooks, Services } from "../../src/plugin-api/contract.ts";
import type { LiveExchange } from "../../src/runtime/exchange.ts";
import { createTelemetry } from "../../src/telemetry/process.ts";
import { exchangeOf } from "../support/exchange.ts";
import { connectStore } from "../support/rate-limit.ts";
import { startRedis } from "../support/redis.ts";
import { anyRoute } from "../support/route.ts";
import { ownServices } from "../support/plugin-services.ts";

// Does not use the tests' own parts: node:test hooks into every promise, which costs more than the measured work.
const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
const telemetry = createTelemetry({ level: "info", service: "bench", instance: "bench", stream: nowhere });

function servicesOf(facts: Partial<Services> = {}): Services {
  return {
    logger: telemetry.logger,
    accessLog: telemetry.accessLog,
    metrics: telemetry.metrics,
    store: undefined,
    secrets: { get: () => undefined, sentTo: () => "" },
    ...ownServices(telemetry.metrics, systemClock),
    clock: systemClock,
    fleet: { service: "bench", instance: "bench", size: () => 1 },
    ...facts,
  };
}

interface Route {
  readonly hooks: Hooks;
  readonly state: AuthState;
}

async function routeOf(facts: object, services: Services): Promise<Route> {
  const state = (auth.init as (services: Services) => AuthState)(services);
  const options = auth.options.parse(facts);
  const route = anyRoute;
  return { hooks: await auth.setup({ options, services, state, route }), state };
}

/** @throws Error if the request is neither let through nor refused */
async function ask({ hooks }: Route, field: string, value: string): Promise<void> {
  const verdict = await hooks.onRequest?.(exchangeOf({ fields: [field, value] }));
  if (verdict?.action === "reject" && verdict.error.kind.status >= 500) throw verdict.error;
}

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

/** Runs sixteen calls at a time: a single one would mostly measure how threads are woken. */
async function atOnce(count: number, work: (i: number) => unknown): Promise<void> {
  let next = 0;
  const one = async (): Promise<void> => {
    for (let i = next++; i < count; i = next++) await work(i);
  };
  await Promise.all(Array.from({ length: 16 }, one));
}

const row = (name: string, value: string): void => console.log(`${name.padEnd(46)} ${value}`);
const micro = (value: number): string => `${value.toFixed(2)} µs`;

/** CPU for making an exchange, to be subtracted. */
async function bare(fields: readonly string[]): Promise<number> {
  return await cpu(5, 50_000, () => exchangeOf({ fields }));
}

async function added(name: string, route: Route, fields: readonly string[]): Promise<void> {
  const empty = await bare(fields);
  const full = await cpu(5, 50_000, () => route.hooks.onRequest?.(exchangeOf({ fields })));
  row(name, micro(full - empty));
}

async function knownCallers(): Promise<void> {
  const redis = await startRedis();
  const good = createKey();
  const store = await connectStore(redis.url);
  // After the first `null`, the store hears of every change, and its values may be cached.
  await new Promise<void>((resolve) => store.watch("", (key) => key === null && resolve()));
  await store.set(
    keyPath + keyDigest(good),
    JSON.stringify({ id: "k", userId: "u", plan: "pro", scopes: ["a"] }),
  );
  const route = await routeOf(
    { guessing: false, apiKeys: { cacheSeconds: 3_600, negativeSeconds: 3_600 } },
    servicesOf({ store }),
  );
  for (const key of [good, "wrong-key"]) await ask(route, "X-Api-Key", key);
  await added("known API key", route, ["Host", "a", "X-Api-Key", good]);
  await added("repeated wrong key", route, ["Host", "a", "X-Api-Key", "wrong-key"]);
  const typo = good.slice(0, -1) + (good.endsWith("a") ? "b" : "a");
  await added("mistyped key", route, ["Host", "a", "X-Api-Key", typo]);
  store.close();
  await redis.close();
}

/** CPU per token, in µs. */
interface Cost {
  readonly all: number;
  /** CPU of the event loop's thread: the other threads may have cores of their own. */
  readonly loop: number;
}

/** Other work on the machine only adds to the figures. */
function lowerQuartile(costs: readonly Cost[]): Cost {
  const at = (of: keyof Cost): number =>
    costs.map((cost) => cost[of]).sort((a, b) => a - b)[Math.floor(costs.length / 4)] ?? NaN;
  return { all: at("all"), loop: at("loop") };
}

/**
 * Measures tokens that were never seen, against jose alone, which splits and decodes them, finds the key, checks the
 * signature on another thread, and then `exp`, `iss` and `aud`. The plugin does that and more: it reads the token from
 * a request and parses its JSON strictly, makes an identity of it, caches it under its SHA-256, counts it and removes
 * it from the request. It checks RSA signatures without another thread, and no signature through WebCrypto once the key
 * has been used.
 */
async function tokens(alg: string): Promise<void> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid: "k", alg };
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
  // Room for few verdicts, so that a repeated token costs as much as a new one. One route throughout, because V8
  // discards compiled code of a route that is gone.
  const jwt = { issuers: [facts], cacheBytes: 65_536 };
  const route = await routeOf({ guessing: false, jwt }, servicesOf());
  const keys = createLocalJWKSet({ keys: [jwk] });
  const options = { algorithms: [alg], issuer: "https://id.example", audience: "api" };
  const [own, theirs]: [Cost[], Cost[]] = [[], []];
  // The two alternate, so that noise on the machine hits both; the first rounds only warm up.
  for (let round = 0; round < 24; round += 1) {
    const measure = async (into: Cost[], work: (i: number) => unknown): Promise<void> => {
      const [before, thread] = [process.cpuUsage(), process.threadCpuUsage()];
      await atOnce(count, work);
      const all = microseconds(process.cpuUsage(before)) / count;
      if (round >= 4) into.push({ all, loop: microseconds(process.threadCpuUsage(thread)) / count });
    };
    // A flat string, as a listener reads it.
    const asked = all.map((token) =>
      exchangeOf({ fields: ["Authorization", Buffer.from(`Bearer ${token}`).toString("latin1")] }),
    );
    await measure(theirs, (i) => jwtVerify(all[i] as string, keys, options));
    await measure(own, (i) => route.hooks.onRequest?.(asked[i] as LiveExchange));
  }
  const [ours, alone] = [lowerQuartile(own), lowerQuartile(theirs)];
  const more = (ours.all / alone.all - 1) * 100;
  const each = ({ all, loop }: Cost): string => `${micro(all)} (${loop.toFixed(0)} of the event loop)`;
  row(
    `first-seen ${alg} token`,
    `${each(ours)}, jose's jwtVerify ${each(alone)}, ${more < 0 ? "" : "+"}${more.toFixed(0)} %`,
  );
  if (alg === "ES256") {
    const known = await routeOf(
      { guessing: false, jwt: { issuers: [facts], cacheSeconds: 3_600 } },
      servicesOf(),
    );
    await ask(known, "Authorization", `Bearer ${all[0]}`);
    await added("token verified before (ES256, 0.9 KB)", known, [
      "Host",
      "a",
      "Authorization",
      `Bearer ${all[0]}`,
    ]);
  }
}

/** Measures the memory of 100,000 different tokens in one sidecar's cache. */
async function memory(): Promise<void> {
  const server = http.createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const secret = "0123456789abcdef0123456789abcdef";
  const services = servicesOf({ secrets: { get: () => secret, sentTo: () => secret } });
  const facts = {
    issuer: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    secret: "SECRET_JWT",
  };
  const route = await routeOf({ guessing: false, jwt: { issuers: [facts] } }, services);
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
  for (let i = 0; i < 2_000; i += 1) await ask(route, "Authorization", `Bearer ${await sign(-i)}`);
  const before = heap();
  for (let i = 0; i < 100_000; i += 1) await ask(route, "Authorization", `Bearer ${await sign(i)}`);
  row("memory after 100,000 distinct tokens", `+${((heap() - before) / 1_048_576).toFixed(1)} MiB`);
  row("  of which kept", `${route.state.tokens.values()[0]?.cached}`);
  server.close();
}

// Runs first, before other measurements leave garbage on the heap.
if (globalThis.gc !== undefined) await memory();
await knownCallers();
for (const alg of ["RS256", "ES256", "EdDSA"]) await tokens(alg);
process.exit();
