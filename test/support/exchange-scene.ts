// Runs the real exchange over a stream, a transport and hooks that a test moves step by step.
import { PassThrough } from "node:stream";
import { ClientLimits } from "../../src/client/client-limits.ts";
import type { CarriedExchange, ProxyContext } from "../../src/exchange/context.ts";
import { ServerExchange } from "../../src/exchange/exchange.ts";
import { parseRequestHead } from "../../src/http1/request-head.ts";
import type {
  Exchange,
  ExchangeResponse,
  Hooks,
  Logger,
  Outcome,
  Verdict,
} from "../../src/plugin-api/contract.ts";
import { createRequestCounters } from "../../src/routing/request-counters.ts";
import { RoutedPolicy } from "../../src/routing/routed-policy.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { createHttpClient } from "../../src/runtime/services/http/client.ts";
import { createPluginHost } from "../../src/runtime/plugin-host.ts";
import { createSnapshot } from "../../src/runtime/snapshot.ts";
import { createTelemetry } from "../../src/telemetry/process.ts";
import { pluginWith } from "./plugins.ts";
import { MemoryStream } from "./stream/memory.ts";
import { type ClientRequest, clientRequest } from "./stream/scene.ts";
import { MemoryTransport } from "./transport/memory.ts";

/** A hook call whose promise has not settled. */
export interface Pending {
  readonly hook: "onRequest" | "onResponse" | "onError";
  readonly response: ExchangeResponse | undefined;
  settle(verdict: Verdict): void;
  fail(): void;
}

export interface Case {
  readonly request: Partial<ClientRequest>;
  /** Which hooks return a promise. */
  readonly late: readonly Pending["hook"][];
  /** Whether bodies are buffered before the service is asked. */
  readonly buffers: boolean;
  /** Whether the transport refuses every call. */
  readonly refuses: boolean;
}

const telemetry = createTelemetry({
  level: "info",
  service: "test",
  instance: "test",
  stream: new PassThrough().resume(),
});

export class ExchangeScene {
  readonly stream: MemoryStream;
  readonly transport: MemoryTransport;
  readonly exchange: ServerExchange;
  readonly clients: ClientLimits;
  readonly pending: Pending[] = [];
  readonly outcomes: Outcome[] = [];
  /** Internal errors, and hooks that were called when they should not be; has to stay empty. */
  readonly problems: string[] = [];
  draining = false;
  began = 0;
  #unsettled = 0;
  ended = 0;

  constructor(house: House, each: Case) {
    house.current = this;
    this.late = each.late;
    this.stream = new MemoryStream(clientRequest(each.request));
    this.transport = house.transport;
    this.transport.calls.length = 0;
    this.transport.refuses = each.refuses;
    this.clients = new ClientLimits({
      maxBodyBytes: 100,
      clientStallMs: 60_000,
      minBytesPerSecond: 0,
      bufferBytes: 1_000_000,
      clientShare: 100,
    });
    const head = parseRequestHead(this.stream, () => false, {
      cookies: undefined,
      keepsUnderscores: false,
    });
    const policy = each.buffers ? house.buffering : house.streaming;
    const client = { address: this.stream.peer, peer: this.stream.peer, viaTrustedProxy: false };
    const inbound = { stream: this.stream, head, client };
    this.exchange = new ServerExchange(this.#context(), policy, policy.find(head), inbound);
  }

  readonly late: readonly Pending["hook"][];

  hook(hook: Pending["hook"], response?: ExchangeResponse): undefined | Promise<Verdict> {
    if (this.outcomes.length > 0) this.problems.push(`${hook} after onComplete`);
    if (!this.late.includes(hook)) return undefined;
    this.#unsettled += 1;
    return new Promise<Verdict>((resolve, reject) => {
      this.pending.push({ hook, response, settle: resolve, fail: () => reject(new Error("a bug")) });
    }).finally(() => (this.#unsettled -= 1));
  }

  complete(outcome: Outcome): void {
    if (this.#unsettled > 0) this.problems.push("onComplete while a hook is at work");
    this.outcomes.push(outcome);
  }

  #context(): ProxyContext {
    const log = (fields: object, message: string): void =>
      void this.problems.push(`${message}: ${"err" in fields ? String(fields.err) : ""}`);
    const logger: Logger = { debug: () => {}, info: () => {}, warn: log, error: log };
    return {
      limits: { upstreamConnectTimeoutMs: 1_000 },
      clock: systemClock,
      logger,
      clients: this.clients,
      forward: (exchange: CarriedExchange) => exchange.openUpstream(),
      draining: () => this.draining,
      began: () => (this.began += 1),
      ended: () => (this.ended += 1),
    };
  }
}

/** Shared by all scenes: policies are compiled only once. */
export interface House {
  current: ExchangeScene | undefined;
  readonly transport: MemoryTransport;
  readonly streaming: RoutedPolicy;
  readonly buffering: RoutedPolicy;
  /** Resolves when no exchange holds a policy; rejects after a time limit. */
  closed(): Promise<void>;
}

export async function buildHouse(): Promise<House> {
  const transport = new MemoryTransport();
  const closings: Promise<void>[] = [];
  const scene = (): ExchangeScene => house.current as ExchangeScene;
  const hooks: Hooks = {
    onRequest: () => scene().hook("onRequest"),
    onResponse: (_exchange: Exchange, response) => scene().hook("onResponse", response) as Promise<void>,
    onError: () => scene().hook("onError"),
    onComplete: (_exchange, outcome) => scene().complete(outcome),
  };
  const build = async (bufferRequestBytes: number): Promise<RoutedPolicy> => {
    let closed!: () => void;
    closings.push(new Promise((resolve) => (closed = resolve)));
    return policyOf({ ...hooks }, transport, bufferRequestBytes, closed);
  };
  const house: House = {
    current: undefined,
    transport,
    streaming: await build(0),
    buffering: await build(100),
    closed: async () => {
      house.streaming.snapshot.retire();
      house.buffering.snapshot.retire();
      await Promise.all(closings);
    },
  };
  return house;
}

async function policyOf(
  hooks: Hooks,
  transport: MemoryTransport,
  bufferRequestBytes: number,
  closed: () => void,
): Promise<RoutedPolicy> {
  const quiet: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  const host = createPluginHost([pluginWith("hooks", hooks)], {
    logger: quiet,
    accessLog: telemetry.accessLog,
    metrics: telemetry.metrics,
    store: undefined,
    secrets: { get: () => undefined, sentTo: () => "" },
    http: createHttpClient,
    clock: systemClock,
    fleet: { service: "test", instance: "test", size: () => 1 },
  });
  const route = (path: string, plugins: readonly string[]) => ({
    path,
    methods: undefined,
    plugins,
    pluginConfig: {},
    stripPrefix: undefined,
    timeoutMs: 1_000,
    bufferRequestBytes,
    upstreamName: "service",
  });
  const spec = { routes: [route("/*", ["hooks"])], unmatched: route("", []) };
  const snapshot = await createSnapshot(spec, host, closed);
  const target = { tls: false, host: "service", port: 80, socketPath: undefined, name: "service" };
  return RoutedPolicy.over(
    snapshot,
    createRequestCounters(telemetry.metrics),
    () => ({ target, transport }),
    {
      requestTrailers: "asked",
      keepOverrides: [],
    },
  );
}
