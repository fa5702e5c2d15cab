// Measures what built-in plugins cost a request: only their hooks, compared with a hook that reads three fields and
// sets one. Figures are medians of rounds in which the contenders take turns.
import { createHmac } from "node:crypto";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { registry } from "../../plugins/index.ts";
import type { Exchange, Hooks } from "../../src/plugin-api/contract.ts";
import { TestClock } from "../../src/testing/clock.ts";
import { setUpPlugin } from "../../src/testing/hooks.ts";
import { type ExchangeFacts, exchangeOf } from "../support/exchange.ts";
import { responseOf } from "../../src/testing/responses.ts";
import type { BenchSize } from "./plugin-costs.ts";
import { scoreMicros } from "./score.ts";

interface Contender {
  readonly name: string;
  readonly goalMicros?: number;
  readonly facts?: ExchangeFacts;
  readonly body?: Buffer;
  /** Fields of the service's answer, for plugins that process it. */
  readonly answer?: readonly string[];
  readonly hooks: Hooks;
}

const properties = Object.fromEntries(
  Array.from({ length: 20 }, (_, i) => [
    `field${i}`,
    [{ type: "string", maxLength: 100 }, { type: "integer", minimum: 0 }, { type: "boolean" }][i % 3],
  ]),
);
const values = Object.fromEntries(
  Array.from({ length: 20 }, (_, i) => [`field${i}`, ["x".repeat(95), i, true][i % 3]]),
);

async function contender(
  plugin: string,
  options: object,
  more: Partial<Contender> = {},
  secrets: Readonly<Record<string, string>> = {},
): Promise<Contender> {
  const definition = registry.find(({ name }) => name === plugin);
  if (definition === undefined) throw new Error(`no plugin ${plugin}`);
  const { hooks } = await setUpPlugin(definition, { options, secrets });
  return { name: plugin, hooks, ...more };
}

const baseline: Contender = {
  name: "three fields read, one set",
  hooks: {
    onRequest({ request: { fields } }) {
      const seen = [fields.get("host"), fields.get("accept"), fields.get("user-agent")].join();
      fields.set("X-Seen", String(seen.length));
    },
  },
};

const answer = [
  "Content-Type",
  "image/png",
  "Content-Length",
  "300",
  "Date",
  "x",
  "Cache-Control",
  "max-age=60",
  "ETag",
  '"1"',
];
const json = ["Content-Type", "application/json", "Accept", "*/*", "User-Agent", "bench"];

/** An endpoint that admits every request: the measured work is the cached answer. */
async function extAuth(): Promise<Contender> {
  const server = http.createServer((_request, response) => response.end());
  server.unref().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const options = { url, input: ["path"], cache: { ttlSeconds: 3_600, by: ["path"] } };
  return await contender("ext-auth", options, { name: "ext-auth, a kept answer" });
}

/** A request signed without a nonce: each call checks the same signature. */
async function signed(): Promise<Contender> {
  const secret = "0123456789abcdef0123456789abcdef";
  const keys = [{ keyId: "k", algorithm: "hmac-sha256", secret: "SECRET_K", userId: "machine" }];
  const options = {
    apiKeys: false,
    signatures: { keys, nonce: "optional", maxAgeSeconds: 3_600, components: ["@method", "@authority"] },
  };
  const input = `("@method" "@authority");created=${Math.floor(new TestClock().now() / 1_000)};keyid="k"`;
  const base = `"@method": GET\n"@authority": api.example\n"@signature-params": ${input}`;
  const mac = createHmac("sha256", secret).update(base).digest("base64");
  const fields = [...json, "Signature-Input", `s=${input}`, "Signature", `s=:${mac}:`];
  const facts = { method: "GET", host: "api.example", fields };
  return await contender("auth", options, { name: "auth, a signed request", facts }, { SECRET_K: secret });
}

async function contenders(): Promise<Contender[]> {
  return [
    baseline,
    await contender("ip-filter", { allow: ["10.0.0.0/8", "192.0.2.0/24"] }, { goalMicros: 1 }),
    await contender(
      "security-headers",
      { preset: "web" },
      { name: "security-headers, web", goalMicros: 1, answer },
    ),
    await contender(
      "security-headers",
      { preset: "api" },
      { name: "security-headers, api", goalMicros: 1, answer },
    ),
    await contender(
      "security-headers",
      { preset: "web", contentSecurityPolicy: "script-src 'nonce-$nonce'" },
      { name: "security-headers, web, with a nonce, answers alone", answer },
    ),
    await contender(
      "compress",
      {},
      {
        name: "compress, what it leaves",
        goalMicros: 1,
        answer,
        facts: { fields: [...json, "Accept-Encoding", "gzip, br"] },
      },
    ),
    await contender("redirect", { rules: [{ from: "/old/*", to: "/new/*", status: 307 }] }),
    await contender("respond", { when: { methods: ["GET"] } }, { name: "respond, to other methods" }),
    await contender(
      "body-transform",
      { request: { remove: ["/field3"], rename: { "/field4": "other" } } },
      { name: "body-transform, 1 KB", body: Buffer.from(JSON.stringify(values)) },
    ),
    await contender(
      "csrf",
      {},
      { goalMicros: 1, facts: { fields: [...json, "Origin", "https://api.example"] } },
    ),
    await contender(
      "validate",
      { schema: { type: "object", properties, additionalProperties: false } },
      { name: "validate, 1 KB, 20 fields", goalMicros: 15, body: Buffer.from(JSON.stringify(values)) },
    ),
    await extAuth(),
    await signed(),
  ];
}

function exchanges({ facts, body }: Contender, calls: number): Exchange[] {
  return Array.from({ length: calls }, () => {
    const exchange = exchangeOf({ method: "POST", fields: json, ...facts });
    if (body === undefined) return exchange;
    const request = { ...exchange.request, hasBody: true };
    return Object.assign(Object.create(exchange) as Exchange, {
      request,
      readBody: () => Promise.resolve(body),
      replaceBody: () => {},
    });
  });
}

/** @returns µs of CPU per call */
async function measure(contender: Contender, calls: number): Promise<number> {
  const all = exchanges(contender, calls);
  const { hooks, answer: fields, name } = contender;
  const responses = all.map(() => (fields === undefined ? undefined : responseOf(200, fields)));
  const from = process.cpuUsage();
  for (let i = 0; i < calls; i += 1) {
    const exchange = all[i] as Exchange;
    const response = responses[i];
    const result =
      response === undefined ? hooks.onRequest?.(exchange) : hooks.onResponse?.(exchange, response);
    const settled = result instanceof Promise ? ((await result) as unknown) : result;
    if (settled !== undefined) throw new Error(`${name} does not let it through`);
  }
  const { user, system } = process.cpuUsage(from);
  return (user + system) / calls;
}

const median = (of: number[]): number => of.toSorted((a, b) => a - b)[of.length >> 1] ?? Number.NaN;

export interface BuiltInCost {
  readonly name: string;
  readonly micros: number;
  readonly goalMicros: number | undefined;
}

export async function builtInCosts({ rounds, calls }: BenchSize): Promise<BuiltInCost[]> {
  const all = await contenders();
  const costs = new Map<string, number[]>(all.map(({ name }) => [name, []]));
  for (let round = 0; round <= rounds; round += 1) {
    for (const each of all) {
      const cost = await measure(each, calls);
      // The first round lets V8 compile.
      if (round > 0) costs.get(each.name)?.push(cost);
    }
  }
  const found = all.map(({ name, goalMicros }) => ({
    name,
    micros: median(costs.get(name) ?? []),
    goalMicros,
  }));
  return [...found, { name: "score, 100 trees of depth 6", micros: scoreMicros().trees, goalMicros: 10 }];
}
