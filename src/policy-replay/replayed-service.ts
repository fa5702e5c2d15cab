// Decides recorded requests by a service's policy, one after the other. The policy is set up once, with a clock that
// shows the time of each request, so that limits count as they would have. The chain is the real one; the service gives
// the recorded status.
import { ServerExchange } from "../exchange/exchange.ts";
import { parseRequestHead } from "../http1/request-head.ts";
import { type Clock, GatewayError, type Outcome } from "../plugin-api/contract.ts";
import { errorKinds } from "../plugin-api/errors.ts";
import { untilLimit, withinLimit } from "../plugin-api/within-limit.ts";
import type { BenchOptions } from "../policy-tests/bench.ts";
import { contextOf } from "../policy-tests/context.ts";
import { MemoryStream, type RequestOfTest } from "../policy-tests/memory-stream.ts";
import { scratchMetrics, scratchServices } from "../policy-tests/scratch-services.ts";
import { stubbed, StubUpstream } from "../policy-tests/stub-upstream.ts";
import type { EffectivePolicy } from "../policy/read.ts";
import { compilePolicy } from "../routing/compile-policy.ts";
import { createRequestCounters } from "../routing/request-counters.ts";
import type { RoutedPolicy } from "../routing/routed-policy.ts";
import { createPluginHost, type PluginHost } from "../runtime/plugin-host.ts";
import type { ExchangeRecorder } from "../runtime/live-record.ts";
import type { UpstreamTransport } from "../upstream/transport.ts";
import { Lacking, recordedIdentity, RecordedFields } from "./lacking.ts";
import { type Decision, decisionOf, isCircumstance, type RecordedRequest } from "./recorded-request.ts";

const setupLimitMs = 30_000;
/** Hooks have their own time limits, by the real clock. */
const closeLimitMs = 1_000;

/** The policy's decision about a recorded request. */
export interface Replayed {
  readonly decision: Decision;
  /** Whether the decision depends on circumstances that were not recorded. */
  readonly byCircumstance: boolean;
  /** What plugins asked for that the line lacks. */
  readonly lacking: Lacking;
}

/** The request in progress. */
interface AtHand {
  request: RecordedRequest | undefined;
  lacking: Lacking;
  upstream: StubUpstream;
}

export class ReplayedService {
  readonly #policy: RoutedPolicy;
  readonly #host: PluginHost;
  readonly #clock: Clock;
  readonly #now: AtHand;
  readonly #keepsUnderscores: boolean;
  readonly #recorder: ExchangeRecorder;
  readonly #absent: ReturnType<typeof absentParts>;

  private constructor(
    policy: RoutedPolicy,
    host: PluginHost,
    { clock, keepsUnderscores }: BenchOptions,
    now: AtHand,
  ) {
    this.#policy = policy;
    this.#host = host;
    this.#clock = clock;
    this.#keepsUnderscores = keepsUnderscores;
    this.#now = now;
    this.#absent = absentParts(now);
    this.#recorder = { begin: () => now.lacking };
  }

  /** Rejects when a plugin cannot be set up; everything is closed then. */
  static async of(policy: EffectivePolicy, given: Omit<BenchOptions, "clock">): Promise<ReplayedService> {
    const now: AtHand = { request: undefined, lacking: new Lacking(), upstream: answering(200) };
    const clock: Clock = { now: () => now.request?.atMs ?? 0, mono: () => now.request?.atMs ?? 0 };
    const options = { ...given, clock };
    const services = {
      ...scratchServices(options, undefined),
      testRun: {
        get identity() {
          return now.request && recordedIdentity(now.request, () => now.lacking);
        },
      },
    };
    const late = `the policy's set-up took longer than ${setupLimitMs} ms`;
    const builtIn = createPluginHost(options.registry, services);
    const made = builtIn.with(policy.extensions).then(async (host) => {
      const service: Pick<UpstreamTransport, "send" | "openOwn" | "counts" | "close"> = {
        send: (request, handler) => now.upstream.send(request, handler),
        openOwn: (request, handler) => now.upstream.openOwn(request, handler),
        counts: () => now.upstream.counts(),
        close: () => {},
      };
      const { upstream, timeoutMs, fieldRules } = options;
      const counters = createRequestCounters(scratchMetrics);
      const parts = { ...stubbed(service), counters, upstream, timeoutMs, fieldRules };
      const routed = await compilePolicy(policy, { ...parts, host, upstreamTls: undefined });
      return new ReplayedService(routed, host, options, now);
    });
    return await withinLimit(made, setupLimitMs, late, (service) => void service.close());
  }

  /** Decides one request; one at a time. It ends because every hook has a time limit. */
  async decide(request: RecordedRequest): Promise<Replayed> {
    const lacking = new Lacking();
    const { by, status } = request.decision;
    Object.assign(this.#now, {
      request,
      lacking,
      upstream: answering(typeof by === "string" ? 200 : status),
    });
    const stream = new MemoryStream(receivedAs(request));
    try {
      const { route, outcome } = await this.#run(stream, request, lacking);
      const { answeredBy, error } = outcome;
      const decision = decisionOf(route, outcome.status, answeredBy, error?.code);
      return { decision, byCircumstance: isCircumstance(error?.code), lacking };
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      const decision = decisionOf("", errorKinds[error.code].status, undefined, error.code);
      return { decision, byCircumstance: false, lacking };
    } finally {
      stream.destroy();
    }
  }

  async #run(stream: MemoryStream, request: RecordedRequest, lacking: Lacking) {
    const head = parseRequestHead(stream, this.#policy.isOwnedOrForwarded, {
      cookies: this.#policy.snapshot.ownedCookies,
      keepsUnderscores: this.#keepsUnderscores,
    });
    const fields = new RecordedFields(head.fields, lacking);
    const routing = this.#policy.take({ ...head, fields });
    const client = { address: request.client, peer: request.client, viaTrustedProxy: false };
    const ended = Promise.withResolvers<Outcome>();
    const context = contextOf(this.#clock, (_exchange, outcome) => ended.resolve(outcome), this.#recorder);
    const inbound = { stream, head: { ...head, fields }, client };
    const exchange = new ServerExchange(context, this.#policy, routing, inbound);
    for (const part of partsLackedBy(request))
      Object.defineProperty(exchange.live.request, part, this.#absent[part]);
    exchange.run();
    return { route: routing.route.info.pattern, outcome: await ended.promise };
  }

  /** Never rejects. */
  async close(): Promise<void> {
    const { snapshot } = this.#policy;
    snapshot.retire();
    await untilLimit(
      snapshot.closed.then(() => this.#host.states.close()),
      closeLimitMs,
    );
  }
}

const answering = (status: number): StubUpstream =>
  // The answer must not be cached: a later answer of the service was not recorded.
  new StubUpstream({
    status,
    fields: status === 204 || status === 304 ? noStore : [...noStore, "Content-Length", "0"],
    body: Buffer.alloc(0),
  });
const unknownHost = "unknown.invalid";
const noStore = ["Cache-Control", "no-store"];

function receivedAs({
  id,
  method,
  path,
  query = "",
  host = unknownHost,
  fields,
}: RecordedRequest): RequestOfTest {
  const lines = ["Host", host, ...[...fields].filter(([name]) => name !== "host").flat()];
  // A plugin that chooses by the id chooses the same again.
  if (id !== "") lines.push("X-Request-Id", id);
  return { method, target: `${path}${query}`, fields: lines };
}

type Part = "query" | "host" | "hasBody";

/** Properties for parts of a request that its line lacks: each read is noted. All requests share them. */
function absentParts(now: AtHand): Readonly<Record<Part, PropertyDescriptor>> {
  const lacks = (name: string, value: unknown): PropertyDescriptor => ({
    get() {
      now.lacking.note(name);
      return value;
    },
  });
  return { query: lacks("query", ""), host: lacks("host", unknownHost), hasBody: lacks("body", false) };
}

function partsLackedBy({ query, host, hasBody }: RecordedRequest): readonly Part[] {
  const lacks = { query: query === undefined, host: host === undefined, hasBody };
  return parts.filter((part) => lacks[part]);
}
const parts: readonly Part[] = ["query", "host", "hasBody"];
