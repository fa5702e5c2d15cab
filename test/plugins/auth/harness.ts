// The auth plugin on one route with real services, and requests to it that read like sentences.
import { Writable } from "node:stream";
import { after } from "node:test";
import type {
  Clock,
  ExchangeResponse,
  Fields,
  Hooks,
  Identity,
  Services,
} from "../../../src/plugin-api/contract.ts";
import { Fields as FieldList, GatewayError } from "../../../src/plugin-api/contract.ts";
import { OwnedCookies } from "../../../src/runtime/owned-cookies.ts";
import { LiveExchange } from "../../../src/runtime/exchange.ts";
import { parseRedisAddress } from "../../../src/redis/address.ts";
import { createSeals, parseStoreKeys } from "../../../src/redis/seals.ts";
import { createStore, type RedisStore } from "../../../src/redis/store.ts";
import { createLogging } from "../../../src/telemetry/logger.ts";
import { createMetrics, type MetricsRegistry } from "../../../src/telemetry/metrics.ts";
import { createOutput } from "../../../src/telemetry/output.ts";
import { auth } from "../../../plugins/auth/index.ts";
import type { AuthState } from "../../../plugins/auth/state.ts";
import { anyRoute } from "../../support/route.ts";
import { ownServices } from "../../support/plugin-services.ts";

// A test that fails half-way must not keep the process alive.
const open = new Set<() => unknown>();
after(async () => {
  for (const close of open) await close();
});

/** A clock that a test moves. */
export class TestClock implements Clock {
  aheadMs = 0;
  now(): number {
    return Date.now() + this.aheadMs;
  }
  mono(): number {
    return performance.now() + this.aheadMs;
  }
  forward(ms: number): void {
    this.aheadMs += ms;
  }
}

export interface TestServices {
  readonly services: Services;
  readonly clock: TestClock;
  readonly metrics: MetricsRegistry;
  readonly store: RedisStore | undefined;
  /** Everything logged so far. */
  log(): Promise<string>;
  close(): void;
}

interface MakeOptions {
  readonly redisUrl?: string;
  readonly secrets?: Record<string, string>;
  /** As `OUTRIGGER_STORE_KEYS`. */
  readonly storeKeys?: string | undefined;
  readonly service?: string;
  readonly instance?: string;
  /** False where the server refuses to tell of changes. */
  readonly watches?: boolean;
}

export async function makeServices(options: MakeOptions = {}): Promise<TestServices> {
  const clock = new TestClock();
  let text = "";
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  const output = createOutput({ stream: sink });
  const service = options.service ?? "orders";
  const instance = options.instance ?? "orders-1";
  const { logger, accessLog } = createLogging({ level: "debug", service, instance, output });
  const metrics = createMetrics({ service });
  const store =
    options.redisUrl === undefined
      ? undefined
      : createStore({
          address: parseRedisAddress(options.redisUrl),
          keyPrefix: "outrigger:",
          connectionName: instance,
        });
  const close = (): void => store?.close();
  open.add(close);
  if (options.watches === false) await store?.whenUp(5_000);
  // From the first `null` on, the store hears of every change.
  else if (store !== undefined)
    await new Promise<void>((resolve) => store.watch("", (key) => key === null && resolve()));
  const secrets = options.secrets ?? {};
  const seals =
    options.storeKeys === undefined
      ? undefined
      : createSeals(parseStoreKeys(options.storeKeys), "outrigger:", service);
  return {
    services: {
      logger,
      accessLog,
      metrics,
      store,
      seals,
      secrets: {
        get: (name) => secrets[name],
        sentTo(name) {
          const secret = secrets[name];
          if (secret === undefined) throw new Error(`OUTRIGGER_${name} is not set`);
          return secret;
        },
      },
      ...ownServices(metrics, clock),
      clock,
      fleet: { service, instance, size: () => 1 },
    },
    clock,
    metrics,
    store,
    async log() {
      await output.flush(1_000);
      return text;
    },
    close,
  };
}

export interface Ask {
  readonly method?: string;
  readonly path?: string;
  readonly upstreamPath?: string;
  readonly query?: string;
  /** name, value, name, value … */
  readonly fields?: readonly string[];
  readonly address?: string;
  readonly viaTrustedProxy?: boolean;
  /** Default: the client's own address. */
  readonly peer?: string;
  readonly certificate?: Buffer;
  /** Which that certificate is, as the listener reads it. */
  readonly svid?: { readonly id: string; readonly endsMs: number };
  readonly upgrade?: string;
  readonly host?: string;
  readonly scheme?: "http" | "https";
  readonly body?: string;
}

export interface Answer {
  /** 200 = let through to the service. */
  readonly status: number;
  readonly error: string | undefined;
  readonly because: string | undefined;
  readonly identity: Identity | undefined;
  /** Fields towards the service. */
  readonly fields: Fields;
  /** Fields of the refusal or redirect, with those that the response hook added. */
  readonly answerFields: Fields;
  /** Whether it came without a promise. */
  readonly plainly: boolean;
}

export interface Route {
  readonly hooks: Hooks;
  readonly state: AuthState;
  ask(ask?: Ask): Promise<Answer>;
  close(): Promise<void>;
}

const noBody = (): Promise<never> => Promise.reject(new Error("no body"));
const bodyOf =
  (body: string | undefined) =>
  (maxBytes: number): Promise<Buffer> => {
    if (body === undefined) return noBody();
    if (body.length > maxBytes) return Promise.reject(new GatewayError("payload_too_large", "too large"));
    return Promise.resolve(Buffer.from(body));
  };

/** @param hooks of the plugin, whose cookies are taken out as the proxy does it */
export function exchangeFor(ask: Ask, hooks: Hooks = {}): LiveExchange {
  const address = ask.address ?? "192.0.2.7";
  const fields = new FieldList(ask.fields);
  return new LiveExchange({
    id: "request-1",
    request: {
      method: ask.method ?? "GET",
      path: ask.path ?? "/",
      strippedPath: ask.upstreamPath ?? ask.path ?? "/",
      upstreamPath: ask.upstreamPath ?? ask.path ?? "/",
      query: ask.query ?? "",
      host: ask.host ?? "api.example",
      scheme: ask.scheme ?? "http",
      httpVersion: "1.1",
      fields,
      ownedCookies: OwnedCookies.of([{ name: "auth", hooks }])?.take(fields),
      upgrade: ask.upgrade,
      hasBody: ask.body !== undefined,
    },
    client: {
      address,
      peer: ask.peer ?? address,
      viaTrustedProxy: ask.viaTrustedProxy ?? false,
      tls: ask.certificate === undefined ? undefined : { certificate: ask.certificate, svid: ask.svid },
    },
    route: anyRoute,
    startedAt: 0,
    startedMono: 0,
    io: { over: false, readBody: bodyOf(ask.body), replaceBody: () => {}, fetchUpstream: noBody },
  });
}

/** Sets the plugin up as a snapshot would. @param state of another route of the same process */
export async function makeRoute(
  options: unknown,
  { services }: TestServices,
  state?: AuthState,
): Promise<Route> {
  const kept = state ?? (auth.init as (services: Services) => AuthState)(services);
  const parsed = auth.options.parse(options);
  const route = anyRoute;
  const hooks = await auth.setup({ options: parsed, services, state: kept, route });
  const close = async (): Promise<void> => await hooks.close?.();
  open.add(close);
  return { hooks, state: kept, ask: (ask) => askOf(hooks, exchangeFor(ask ?? {}, hooks)), close };
}

async function askOf(hooks: Hooks, exchange: LiveExchange): Promise<Answer> {
  const returned = hooks.onRequest?.(exchange);
  const verdict = await returned;
  const facts = {
    because: exchange.refusedBecause,
    identity: exchange.identity,
    fields: exchange.request.fields,
    plainly: !(returned instanceof Promise),
  };
  const answerFields =
    verdict === undefined
      ? new FieldList()
      : new FieldList(verdict.action === "reject" ? verdict.error.fields : verdict.fields);
  await hooks.onResponse?.(exchange, { fields: answerFields } as ExchangeResponse);
  if (verdict === undefined) return { ...facts, status: 200, error: undefined, answerFields };
  if (verdict.action === "respond")
    return { ...facts, status: verdict.status, error: undefined, answerFields };
  const { kind } = verdict.error;
  return { ...facts, status: kind.status, error: kind.error, answerFields };
}

/** `X-Api-Key` with this key. */
export const withKey = (key: string): Ask => ({ fields: ["X-Api-Key", key] });
/** `Authorization: Bearer` with this token. */
export const withBearer = (token: string): Ask => ({ fields: ["Authorization", `Bearer ${token}`] });

/** Value of one series of the Prometheus text; 0 when it is not there. */
export async function series(
  metrics: MetricsRegistry,
  name: string,
  labels: Record<string, string>,
): Promise<number> {
  for (const line of (await metrics.render()).split("\n")) {
    if (!line.startsWith(`${name}{`)) continue;
    if (Object.entries(labels).every(([label, value]) => line.includes(`${label}="${value}"`))) {
      return Number(line.slice(line.lastIndexOf(" ") + 1));
    }
  }
  return 0;
}
