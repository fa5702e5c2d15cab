// Creates the services of a plugin in a separate process. Clock and facts are local. All other requests go to the
// sidecar, which does only what the plugin's manifest asks for.
import { textOf } from "../../../plugin-api/error-text.ts";
import type { Clock, HttpClient, Secrets, Services } from "../../../plugin-api/services.ts";
import { type Store, StoreUnavailable } from "../../../plugin-api/store.ts";
import type { Logger } from "../../../plugin-api/telemetry.ts";
import type { LoadFacts } from "../protocol.ts";
import type { MetricChanges } from "./metric-changes.ts";
import { cacheOf } from "./cache.ts";
import { databaseOf } from "./database.ts";

/** The sidecar's answer; `bytes` is undefined if the answer has none. */
export interface Reply {
  readonly value: unknown;
  readonly bytes: Buffer | undefined;
}

export interface ServicesParts {
  readonly facts: LoadFacts;
  /** The object stays the same; its members change when secrets change. */
  readonly secrets: { values: Readonly<Record<string, string>>; generation: number };
  readonly fleet: { size: number };
  readonly ask: (service: string, ...args: readonly unknown[]) => Promise<Reply>;
  readonly bytes: (content: Buffer) => number;
  readonly log: (level: string, message: string, fields: string) => void;
  readonly metrics: MetricChanges;
}

const clock: Clock = { now: () => Date.now(), mono: () => performance.now() };

export function createServices(parts: ServicesParts): Services {
  const { facts, fleet } = parts;
  const { service, instance, region, workers } = facts.fleet;
  return {
    logger: loggerOf(parts),
    accessLog: { write: () => missing("services.accessLog") },
    metrics: parts.metrics,
    store: facts.hasStore ? storeOf(parts) : undefined,
    secrets: secretsOf(parts),
    http: httpOf(parts),
    cache: cacheOf(facts.name, parts.ask, { clock, counters: parts.metrics, bytes: parts.bytes }),
    db: databaseOf(parts.ask),
    clock,
    fleet: {
      service,
      instance,
      workers,
      size: () => fleet.size,
      ...(region === null ? {} : { region }),
    },
  };
}

function missing(what: string): never {
  throw new Error(`${what} is not there for plugins that run in a process of their own`);
}

function loggerOf({ log }: ServicesParts): Logger {
  const at =
    (level: string) =>
    (fields: Record<string, unknown>, message: string): void =>
      log(level, textOf(message), textOfFields(fields));
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

function textOfFields(fields: unknown): string {
  try {
    return JSON.stringify(fields, (_key, value: unknown) =>
      value instanceof Error ? { message: value.message, stack: value.stack } : value,
    );
  } catch {
    return "{}";
  }
}

function secretsOf({ facts, secrets }: ServicesParts): Secrets {
  const get = (name: string): string | undefined => {
    if (!facts.secretNames.includes(name))
      throw new Error(
        `plugin "${facts.name}" uses the secret ${name}, which its manifest does not ask for (needs.secrets)`,
      );
    return secrets.values[name];
  };
  return {
    get generation() {
      return secrets.generation;
    },
    get,
    sentTo: (name) => get(name) ?? missing(`the secret ${name}, which is not set,`),
  };
}

function httpOf({ ask, bytes }: ServicesParts): HttpClient {
  return {
    async request({ signal, body, ...options }) {
      signal?.throwIfAborted();
      const place = body === undefined ? null : bytes(Buffer.from(body));
      const reply = await ask("http", options, place);
      const [status, fields] = reply.value as [number, [string, string][]];
      return { status, fields: new Map(fields), body: reply.bytes ?? Buffer.alloc(0) };
    },
  };
}

function storeOf({ ask, bytes }: ServicesParts): Store {
  const asked = async (call: string, ...args: unknown[]): Promise<Reply> => {
    try {
      return await ask(`store.${call}`, ...args);
    } catch (error) {
      throw new StoreUnavailable(error instanceof Error ? error.message : "the store did not answer");
    }
  };
  return {
    up: true,
    watching: false,
    get: async (key, limitMs) => (await asked("get", key, limitMs)).value as string | null,
    async getBytes(key, limitMs, maxBytes) {
      const { value, bytes: content } = await asked("getBytes", key, limitMs, maxBytes);
      return value === null ? null : (content ?? Buffer.alloc(0));
    },
    readHash: async (key, bounds, limitMs) =>
      (await asked("readHash", key, bounds, limitMs)).value as readonly string[],
    async set(key, value, options) {
      return (await asked("set", key, bytes(Buffer.from(value)), options ?? {})).value as boolean;
    },
    delete: async (...keys) => (await asked("delete", keys)).value as number,
    async append(stream, fields, maxLength) {
      await asked("append", stream, fields, maxLength);
    },
    scan: async (prefix, limit) => (await asked("scan", prefix, limit)).value as string[],
    run: async () => missing("store.run"),
    runAll: async () => missing("store.runAll"),
    watch: () => missing("store.watch"),
    hear: () => missing("store.hear"),
  };
}
