// Sets up a candidate beside the policy in force, without effect: without store, disk or outbound requests, with a log
// and metrics that nobody reads, and with a stub for the service. Plugins that would still have an effect do not run.
import { ServerExchange } from "../exchange/exchange.ts";
import { parseRequestHead, type RequestHead } from "../http1/request-head.ts";
import type { SwitchedOff } from "../kill-switch/kill-switch.ts";
import { GatewayError, type Identity, type Outcome } from "../plugin-api/contract.ts";
import { untilLimit, withinLimit } from "../plugin-api/within-limit.ts";
import type { BenchOptions } from "../policy-tests/bench.ts";
import { contextOf } from "../policy-tests/context.ts";
import { scratchMetrics, scratchServices } from "../policy-tests/scratch-services.ts";
import { stubbed, StubUpstream } from "../policy-tests/stub-upstream.ts";
import { Lacking } from "../policy-replay/lacking.ts";
import type { EffectivePolicy } from "../policy/read.ts";
import { compilePolicy } from "../routing/compile-policy.ts";
import { createRequestCounters } from "../routing/request-counters.ts";
import type { RoutedPolicy, Routing } from "../routing/routed-policy.ts";
import { factsOf } from "../runtime/extension-definition.ts";
import { createPluginHost, type PluginHost } from "../runtime/plugin-host.ts";
import type { UpstreamTransport } from "../upstream/transport.ts";
import { type CandidateSide, compare, type Comparison } from "./comparison.ts";
import { isIdle, provesAlike, runsBeside } from "./not-asked.ts";
import { type SeenRequest, SeenStream, type Served } from "./seen-request.ts";
import { servedSide, sideOf, specsOf } from "./sides.ts";

const setupLimitMs = 30_000;
const closeLimitMs = 1_000;
/** Limit for all hooks of a request together; each hook has its own as well. */
const requestLimitMs = 1_000;

export interface ShadowOptions extends BenchOptions {
  /** @returns the parts of a request that may be credentials under the policy; undefined = there are none */
  readonly shownCredential: (
    head: RequestHead,
    policy: RoutedPolicy,
    client: Pick<SeenRequest, "tls">,
  ) => string | undefined;
}

interface AtHand {
  identity: Identity | undefined;
  /** The identity was not proven in the way that the candidate requires. */
  unproven: boolean;
  lacking: Lacking;
  upstream: StubUpstream;
}

const nobody = (): AtHand => ({
  identity: undefined,
  unproven: false,
  lacking: new Lacking(),
  upstream: answering(),
});
const answering = (): StubUpstream =>
  new StubUpstream({
    status: 200,
    fields: ["Cache-Control", "no-store", "Content-Length", "0"],
    body: noBody,
  });
const noBody = Buffer.alloc(0);

export class ShadowCandidate {
  #policy: RoutedPolicy;
  readonly #host: PluginHost;
  readonly #options: ShadowOptions;
  readonly #now: AtHand;
  /** Names of extensions that do not run. */
  readonly #idle: ReadonlySet<string>;

  private constructor(
    policy: RoutedPolicy,
    host: PluginHost,
    options: ShadowOptions,
    now: AtHand,
    idle: ReadonlySet<string>,
  ) {
    this.#policy = policy;
    this.#host = host;
    this.#options = options;
    this.#now = now;
    this.#idle = idle;
  }

  /** Rejects when a plugin cannot be set up; everything is closed then. */
  static async of(policy: EffectivePolicy, options: ShadowOptions): Promise<ShadowCandidate> {
    const now = nobody();
    const services = { ...scratchServices(options, undefined), testRun: testRunOf(now) };
    const host = createPluginHost(options.registry, services, undefined, (plugin, hooks) =>
      isIdle(plugin) ? {} : hooks,
    );
    const runs = runsBeside(policy.extensions);
    const idle = policy.extensions.filter((extension) => !runs(extension));
    for (const extension of idle) host.register({ ...factsOf(extension), setup: () => ({}) });
    const { upstream, timeoutMs, fieldRules } = options;
    const service: Pick<UpstreamTransport, "send" | "openOwn" | "counts" | "close"> = {
      send: (request, handler) => now.upstream.send(request, handler),
      openOwn: (request, handler) => now.upstream.openOwn(request, handler),
      counts: () => now.upstream.counts(),
      close: () => {},
    };
    const counters = createRequestCounters(scratchMetrics);
    const parts = {
      ...stubbed(service),
      host,
      counters,
      upstream,
      timeoutMs,
      fieldRules,
      upstreamTls: undefined,
    };
    const shown = { ...policy, extensions: policy.extensions.filter(runs) };
    const names = new Set(idle.map(({ name }) => name));
    const made = compilePolicy(shown, parts).then(
      (routed) => new ShadowCandidate(routed, host, options, now, names),
    );
    const late = `the policy's set-up took longer than ${setupLimitMs} ms`;
    return await withinLimit(made, setupLimitMs, late, (candidate) => void candidate.close());
  }

  /** Switches off the plugins that are switched off in the policy in force. */
  async switchOff(off: SwitchedOff): Promise<void> {
    this.#policy = await this.#policy.switched(off);
  }

  /** Compares one request; one at a time. Never waits long, and rejects only for faults of this program. */
  async compare(seen: SeenRequest, served: Served): Promise<Comparison> {
    const was = servedSide(served);
    const stream = new SeenStream(seen);
    try {
      return compare(was, await this.#decide(stream, seen, served));
    } finally {
      stream.destroy();
      Object.assign(this.#now, nobody());
    }
  }

  async #decide(stream: SeenStream, seen: SeenRequest, served: Served): Promise<CandidateSide> {
    const { client } = seen;
    const policy = this.#policy;
    let head: RequestHead;
    try {
      head = this.#read(stream, client.viaTrustedProxy);
    } catch (error) {
      if (error instanceof GatewayError) return refusedHead(error);
      throw error;
    }
    const routing = policy.take(head);
    const lacking = new Lacking();
    const identity = served.identity;
    const isKnown = this.#provenAlike(routing, served);
    const unproven =
      (identity !== undefined && !isKnown) || (identity === undefined && this.#shows(head, seen));
    Object.assign(this.#now, { identity, unproven, lacking, upstream: answering() });
    const ended = Promise.withResolvers<Outcome>();
    const context = contextOf(this.#options.clock, (_exchange, outcome) => ended.resolve(outcome), {
      begin: () => lacking,
    });
    const inbound = { stream, head: { ...head, body: "none" as const }, client };
    const exchange = new ServerExchange(context, policy, routing, inbound);
    withoutBody(exchange.live, head.body !== "none", lacking);
    exchange.run();
    const late = "the candidate took too long";
    const outcome = await withinLimit(ended.promise, requestLimitMs, late);
    const side = sideOf(policy, routing, exchange.live, outcome, this.#now.upstream.asked);
    return { ...side, lacking: (plugin) => this.#lackedBy(plugin, lacking) };
  }

  #lackedBy(plugin: string, lacking: Lacking): string {
    if (this.#idle.has(plugin)) return "what an extension does that may reach others";
    return lacking.of(plugin).join(", ");
  }

  #shows(head: RequestHead, seen: SeenRequest): boolean {
    return this.#options.shownCredential(head, this.#policy, seen) !== undefined;
  }

  /** Whether the caller's identity was found in the way that this route requires. */
  #provenAlike({ route }: Routing, served: Served): boolean {
    const before = specsOf(served.policy).get(served.route);
    const now = specsOf(this.#policy).get(route.info);
    const both = before?.plugins.includes("auth") === true && now?.plugins.includes("auth") === true;
    return both && provesAlike(before.pluginConfig["auth"], now.pluginConfig["auth"]);
  }

  #read(stream: SeenStream, viaTrustedProxy: boolean): RequestHead {
    const policy = this.#policy;
    return parseRequestHead(stream, viaTrustedProxy ? policy.isOwned : policy.isOwnedOrForwarded, {
      cookies: policy.snapshot.ownedCookies,
      keepsUnderscores: this.#options.keepsUnderscores,
    });
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

/** A plugin that reads an identity which nobody has proven decides by something unknown: that is noted. */
function testRunOf(now: AtHand) {
  return {
    get identity() {
      if (now.unproven) now.lacking.note("who the caller is by its options");
      return now.identity;
    },
  };
}

/** The body is not kept. A plugin that reads it decides by something unknown: that is noted. */
function withoutBody(live: ServerExchange["live"], hasBody: boolean, lacking: Lacking): void {
  if (!hasBody) return;
  Object.defineProperty(live.request, "hasBody", { value: true });
  live.readBody = () => {
    lacking.note("the body");
    return Promise.resolve(noBody);
  };
}

/** The request is refused before a route is chosen. */
function refusedHead({ kind }: GatewayError): CandidateSide {
  const decision = { route: null, by: "sidecar", status: kind.status };
  const nothing = { spec: undefined, asked: [], upstream: undefined };
  return { decision, refused: true, ...nothing, byCircumstance: false, lacking: () => "" };
}
