// Sets up a policy for its tests. The code that decides about a request, from the head to the answer, is the same as in
// a serving sidecar; only client and service are stubs. The route of each test is set up anew, so that no count, cache
// or lock of one test affects another.
import type { UpstreamAddress } from "../config/formats.ts";
import { ServerExchange } from "../exchange/exchange.ts";
import { parseRequestHead, type RequestHead } from "../http1/request-head.ts";
import { nothingOff } from "../kill-switch/kill-switch.ts";
import { Fields, GatewayError, type PluginDefinition } from "../plugin-api/contract.ts";
import { untilLimit } from "../plugin-api/within-limit.ts";
import type { PolicyTest } from "../policy/document/tests-field.ts";
import type { EffectivePolicy } from "../policy/read.ts";
import { compilePolicy } from "../routing/compile-policy.ts";
import { type FieldRules, type RoutedPolicy, type Routing, ServedRoute } from "../routing/routed-policy.ts";
import type { RouteChoice } from "../routing/route-choice.ts";
import { createRequestCounters } from "../routing/request-counters.ts";
import { createPluginHost, type PluginHost } from "../runtime/plugin-host.ts";
import type { ExchangeRecorder } from "../runtime/live-record.ts";
import { LiveResponse } from "../runtime/response.ts";
import { closeAll, compileRoute, type Made, type RouteSpec } from "../runtime/set-up.ts";
import type { Explanation } from "../telemetry/requests/explanation.ts";
import type { Observed } from "./expectation.ts";
import { contextOf, testClient } from "./context.ts";
import { MemoryStream } from "./memory-stream.ts";
import type { OwnTime } from "./own-time.ts";
import { answerOf, identityOf, requestOf } from "./parts-of-test.ts";
import { scratchMetrics, type ScratchOptions, scratchServices } from "./scratch-services.ts";
import { stubbed, StubUpstream } from "./stub-upstream.ts";

/** The parts of the sidecar for which the policy is tested. */
export interface BenchOptions extends ScratchOptions {
  readonly registry: readonly PluginDefinition[];
  readonly upstream: UpstreamAddress;
  readonly timeoutMs: number;
  readonly fieldRules: FieldRules;
  readonly keepsUnderscores: boolean;
}

const unserved = new StubUpstream({ status: 503, fields: [], body: Buffer.alloc(0) });
const noUpstreams = stubbed(unserved);
const noCounters = createRequestCounters(scratchMetrics);
/** Plugins should bound their waits when they close. One that does not must not hold up a policy. */
const closeLimitMs = 1_000;

export class Bench {
  readonly #options: BenchOptions;
  readonly #policy: EffectivePolicy;
  readonly #routed: RoutedPolicy;
  readonly #specs: ReadonlyMap<ServedRoute["info"], RouteSpec>;
  readonly #closing: Promise<unknown>[] = [];
  /**
   * Holds the policy's extensions for all tests: a process or module for each test would take longer than all tests
   * may.
   */
  readonly #host: PluginHost;
  readonly #brought: Made["states"];

  private constructor(
    options: BenchOptions,
    policy: EffectivePolicy,
    routed: RoutedPolicy,
    host: PluginHost,
  ) {
    const { routes, unmatched, closed } = routed.snapshot;
    this.#options = options;
    this.#policy = policy;
    this.#routed = routed;
    this.#specs = new Map([...routes, unmatched].map(({ info, spec }) => [info, spec]));
    this.#host = host;
    this.#brought = host.states.hold();
    this.#closing.push(closed.then(() => host.states.close()));
  }

  /** Rejects when a plugin cannot be set up; everything is closed then. */
  static async of(policy: EffectivePolicy, options: BenchOptions): Promise<Bench> {
    const { registry, upstream, timeoutMs, fieldRules } = options;
    const builtIn = createPluginHost(registry, scratchServices(options, undefined));
    const host = await builtIn.with(policy.extensions);
    const parts = { ...noUpstreams, counters: noCounters, upstream, timeoutMs, fieldRules };
    const routed = await compilePolicy(policy, { ...parts, host, upstreamTls: undefined });
    return new Bench(options, policy, routed, host);
  }

  /** Runs one test's request. Rejects with an `OverLimit` when the time runs out first. */
  async run(test: PolicyTest, time: OwnTime, recorder?: ExchangeRecorder): Promise<Observed> {
    const stream = new MemoryStream(requestOf(test));
    let head: RequestHead;
    try {
      head = this.#read(stream);
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      return refusedHead(error);
    }
    const routing = this.#routed.take(head);
    const services = scratchServices(this.#options, identityOf(test.request.identity));
    const own = createPluginHost(this.#options.registry, services);
    const { alternatives, plugins } = this.#host;
    const host = { ...own, alternatives, plugins: new Map([...plugins, ...own.plugins]) };
    const made: Made = { steps: [], states: this.#statesFor(own) };
    const upstream = new StubUpstream(answerOf(test));
    try {
      const route = await this.#setUp(routing.route, upstream, host, made);
      const ended = Promise.withResolvers<void>();
      const context = contextOf(this.#options.clock, () => ended.resolve(), recorder);
      const exchange = new ServerExchange(
        context,
        this.#routed,
        { ...routing, route },
        { stream, head, client: testClient },
      );
      exchange.run();
      await time.until(ended.promise);
      return observed(routing, exchange, stream, upstream);
    } finally {
      stream.destroy();
      this.#closing.push(closeAll(made, host).then(() => own.states.close()));
    }
  }

  /** @returns why a request went to its route and to no other */
  choiceOf({ route, request }: Pick<Explanation, "route" | "request">): RouteChoice {
    return this.#routed.choiceOf(route, { path: request["path"] ?? "", method: request["method"] ?? "" });
  }

  /** Never rejects. */
  async close(): Promise<void> {
    this.#routed.snapshot.retire();
    await untilLimit(Promise.all(this.#closing), closeLimitMs);
  }

  /** Holds the states for one test: built-in plugins get new ones, extensions share theirs. */
  #statesFor({ plugins, states }: PluginHost): Made["states"] {
    const held = states.hold();
    return {
      of: (owner) => (plugins.has(owner.definition.name) ? held : this.#brought).of(owner),
      release: () => held.release(),
    };
  }

  #read(stream: MemoryStream): RequestHead {
    return parseRequestHead(stream, this.#routed.isOwnedOrForwarded, {
      cookies: this.#routed.snapshot.ownedCookies,
      keepsUnderscores: this.#options.keepsUnderscores,
    });
  }

  /** Sets the same route up anew. */
  async #setUp(
    known: ServedRoute,
    transport: StubUpstream,
    host: PluginHost,
    made: Made,
  ): Promise<ServedRoute> {
    const spec = this.#specs.get(known.info) as RouteSpec;
    const compiled = await compileRoute(spec, host, made, {
      secretNames: this.#policy.secretNames,
    });
    const cookies = this.#routed.snapshot.ownedCookies;
    compiled.chain.ownedCookies = cookies;
    const { target, ownedParts: parts } = known;
    return new ServedRoute(compiled, { target, transport }, noCounters, { cookies, parts }, nothingOff);
  }
}

function observed(
  { route }: Routing,
  { live }: ServerExchange,
  stream: MemoryStream,
  upstream: StubUpstream,
): Observed {
  return {
    route: route.info.pattern === "" ? null : route.info.pattern,
    status: stream.status,
    plugin: live.answeredBy ?? null,
    because: live.refusedBecause,
    headers: new Fields(stream.answered),
    upstreamHeaders: upstream.asked,
  };
}

/** @returns the answer to a request that is refused before a route is chosen */
function refusedHead(error: GatewayError): Observed {
  const { status, fields } = LiveResponse.fromError(error, "");
  return {
    route: null,
    status,
    plugin: null,
    because: error.detail,
    headers: fields,
    upstreamHeaders: undefined,
  };
}
