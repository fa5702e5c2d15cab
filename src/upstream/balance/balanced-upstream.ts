// Combines the endpoints of an upstream into one transport: each exchange goes to an endpoint that is up.
import type { Logger } from "../../plugin-api/contract.ts";
import type { Time } from "../time.ts";
import type {
  OwnConnectionHandler,
  OwnRequest,
  TransportCounts,
  UpstreamCall,
  UpstreamHandler,
  UpstreamRequest,
  UpstreamTarget,
  UpstreamTransport,
} from "../transport.ts";
import type { Upstreams } from "../upstreams.ts";
import { NameWatch, type Resolve } from "./addresses.ts";
import { BalancedCall, noteAnswer, noteFailure } from "./balanced-call.ts";
import { Endpoint } from "./endpoint.ts";
import type { EndpointGauges } from "./endpoint-gauges.ts";
import { HealthCheck } from "./health-check.ts";
import { Outliers } from "./outliers.ts";
import { Picker } from "./picker.ts";
import type { BalancedSpec, EndpointSpec } from "./spec.ts";

export interface BalancedParts {
  readonly upstreams: Pick<Upstreams, "hold" | "get" | "release">;
  readonly logger: Logger;
  readonly time: Time;
  readonly random: () => number;
  readonly resolve: Resolve;
  /** The zone of this sidecar. */
  readonly zone: string | undefined;
  readonly up: EndpointGauges;
}

/** An endpoint of the policy, with the endpoints that its name resolves to. */
interface Group {
  readonly spec: EndpointSpec;
  endpoints: readonly Endpoint[];
}

export class BalancedUpstream implements UpstreamTransport {
  readonly #spec: BalancedSpec;
  readonly #parts: BalancedParts;
  readonly #picker: Picker;
  readonly #outliers: Outliers;
  readonly #groups: readonly Group[];
  readonly #watches: readonly NameWatch[];
  readonly #checks = new Map<Endpoint, HealthCheck>();
  #all: readonly Endpoint[] = [];

  /** Starts its health checks and look-ups at once. */
  constructor(spec: BalancedSpec, parts: BalancedParts) {
    this.#spec = spec;
    this.#parts = parts;
    this.#picker = new Picker(spec, parts.zone, parts.random);
    this.#outliers = new Outliers(spec.outlier, parts.time, () => this.#all, {
      ejected: (endpoint, forMs) =>
        this.#changed(endpoint, "is left out: it failed too often in a row", forMs),
      returned: (endpoint) => this.#changed(endpoint, "is asked again"),
    });
    // Until its addresses are known, the name itself is the only endpoint.
    this.#groups = spec.endpoints.map((each) => ({ spec: each, endpoints: [this.#open(each, each.target)] }));
    this.#use();
    this.#watches = this.#groups
      .filter(({ spec: { resolves } }) => resolves)
      .map((group) => this.#watch(group));
  }

  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
    const endpoint = this.#picker.pick(request);
    request.tried?.push(endpoint.name);
    const call = new BalancedCall(endpoint, this.#outliers, handler);
    call.start(request);
    return call;
  }

  /** Whether there is an endpoint that is up and not tried yet; if none is up, any that is not tried. */
  hasOther(tried: readonly string[]): boolean {
    return this.#picker.untried(tried).length > 0;
  }

  openOwn(request: OwnRequest, handler: OwnConnectionHandler): () => void {
    const endpoint = this.#picker.pick({ client: request.client, fields: request.fields ?? [] });
    return endpoint.transport.openOwn(request, {
      onReady: (socket) => {
        endpoint.inFlight += 1;
        socket.once("close", () => (endpoint.inFlight -= 1));
        handler.onReady(socket, (how) => noteAnswer(how, endpoint, this.#outliers));
      },
      onFail: (error) => {
        noteFailure(error, endpoint, this.#outliers);
        handler.onFail(error);
      },
    });
  }

  counts(): TransportCounts {
    const sum = { active: 0, idle: 0, queued: 0, upgraded: 0 };
    for (const { transport } of this.#all) {
      const counts = transport.counts();
      for (const each of Object.keys(sum) as (keyof typeof sum)[]) sum[each] += counts[each];
    }
    return sum;
  }

  close(): void {
    for (const watch of this.#watches) watch.stop();
    for (const endpoint of this.#all) this.#drop(endpoint);
  }

  #watch(group: Group): NameWatch {
    const { target } = group.spec;
    const { logger, resolve, time } = this.#parts;
    const about = { upstream: this.#spec.name, endpoint: target.name };
    return new NameWatch(target.host, resolve, time, {
      found: (addresses) => this.#replace(group, addresses),
      failed: (err) =>
        logger.warn(
          { ...about, err },
          "the name of an endpoint does not resolve; its last addresses are kept",
        ),
    });
  }

  /** Endpoints that stay keep their connections and their state. */
  #replace(group: Group, addresses: readonly string[]): void {
    const before = new Map(group.endpoints.map((each) => [each.target.host, each]));
    group.endpoints = addresses.map(
      (address) => before.get(address) ?? this.#open(group.spec, addressed(group.spec.target, address)),
    );
    this.#use();
    for (const each of before.values()) if (!group.endpoints.includes(each)) this.#drop(each);
  }

  #open(spec: EndpointSpec, target: UpstreamTarget): Endpoint {
    const { upstreams, up } = this.#parts;
    upstreams.hold(target);
    const endpoint = new Endpoint(target, spec.zone, upstreams.get(target));
    up.add(this.#spec.name, endpoint);
    const { health } = this.#spec;
    if (health !== undefined) {
      const host = spec.target.socketPath === undefined ? spec.target.name : "localhost";
      const said = (): void =>
        this.#changed(endpoint, endpoint.healthy ? "is healthy again" : "is not healthy: its checks fail");
      this.#checks.set(endpoint, new HealthCheck({ endpoint, host }, health, this.#parts, said));
    }
    return endpoint;
  }

  #drop(endpoint: Endpoint): void {
    this.#checks.get(endpoint)?.stop();
    this.#checks.delete(endpoint);
    endpoint.cancelReturn?.();
    this.#parts.up.drop(this.#spec.name, endpoint);
    this.#parts.upstreams.release(endpoint.target);
  }

  #use(): void {
    this.#all = this.#groups.flatMap(({ endpoints }) => endpoints);
    this.#picker.use(this.#all);
  }

  #changed(endpoint: Endpoint, what: string, forMs?: number): void {
    const { logger, up } = this.#parts;
    this.#picker.update();
    up.set(this.#spec.name, endpoint);
    const about = {
      upstream: this.#spec.name,
      endpoint: endpoint.name,
      ...(forMs !== undefined && { forMs }),
    };
    if (endpoint.up) logger.info(about, `an upstream's endpoint ${what}`);
    else logger.warn(about, `an upstream's endpoint ${what}`);
  }
}

/** The target by address; the certificate must still be the name's. */
function addressed(target: UpstreamTarget, address: string): UpstreamTarget {
  return { ...target, host: address, servername: target.host, name: `${target.name}@${address}` };
}
