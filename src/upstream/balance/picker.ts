// Picks the endpoint for a request. Candidates are listed only when an endpoint changes, not for each request.
import { fieldOf } from "../../http2/fields.ts";
import type { UpstreamRequest } from "../transport.ts";
import type { Endpoint } from "./endpoint.ts";
import { HashRing } from "./hash-ring.ts";
import type { BalancedSpec } from "./spec.ts";

type Asked = Pick<UpstreamRequest, "client" | "fields" | "tried">;

export class Picker {
  readonly #spec: BalancedSpec;
  readonly #zone: string | undefined;
  readonly #random: () => number;
  #all: readonly Endpoint[] = [];
  /** Those that are up. If none is, all: their state may be outdated. */
  #usable: readonly Endpoint[] = [];
  #candidates: readonly Endpoint[] = [];
  #among: ReadonlySet<Endpoint> = new Set();
  #ring: HashRing<Endpoint> | undefined = undefined;

  /** @param zone the zone of this sidecar */
  constructor(spec: BalancedSpec, zone: string | undefined, random: () => number) {
    this.#spec = spec;
    this.#zone = zone;
    this.#random = random;
  }

  /** Replaces the endpoints. */
  use(all: readonly Endpoint[]): void {
    this.#all = all;
    if (this.#spec.balance === "ring-hash") this.#ring = new HashRing(all);
    this.update();
  }

  /** Call after an endpoint went up or down. */
  update(): void {
    const up = this.#all.filter((each) => each.up);
    this.#usable = up.length > 0 ? up : this.#all;
    this.#candidates = this.#inZone(this.#usable);
    this.#among = new Set(this.#candidates);
  }

  pick(asked: Asked): Endpoint {
    const { tried } = asked;
    if (tried === undefined || tried.length === 0) return this.#of(asked, this.#candidates, this.#among);
    const left = this.untried(tried);
    const among = left.length > 0 ? left : this.#candidates;
    return this.#of(asked, among, new Set(among));
  }

  /** The endpoints that are not tried yet for this request, of those that are up, or of all if none is; in any zone. */
  untried(tried: readonly string[]): readonly Endpoint[] {
    return this.#usable.filter(({ name }) => !tried.includes(name));
  }

  #of(asked: Asked, candidates: readonly Endpoint[], among: ReadonlySet<Endpoint>): Endpoint {
    const key = this.#ring && this.#keyOf(asked);
    const found = key === undefined ? undefined : this.#ring?.find(key, among);
    return found ?? this.#lessBusy(candidates);
  }

  /** The less busy of two random candidates: nearly as good as the best of all, and not the same for every request. */
  #lessBusy(candidates: readonly Endpoint[]): Endpoint {
    const { length } = candidates;
    const at = Math.floor(this.#random() * length);
    const one = candidates[at] as Endpoint;
    if (length === 1) return one;
    const other = candidates[(at + 1 + Math.floor(this.#random() * (length - 1))) % length] as Endpoint;
    return other.inFlight < one.inFlight ? other : one;
  }

  #keyOf({ client, fields }: Asked): string | undefined {
    const { hashOn } = this.#spec;
    return (hashOn === undefined ? undefined : fieldOf(fields, hashOn)) ?? client;
  }

  /** The endpoints of the sidecar's own zone, if at least half of those are up: fewer would carry the load of all. */
  #inZone(endpoints: readonly Endpoint[]): readonly Endpoint[] {
    if (this.#zone === undefined) return endpoints;
    const isNear = ({ zone }: Endpoint): boolean => zone === this.#zone;
    const near = endpoints.filter(isNear);
    return near.length > 0 && near.length * 2 >= this.#all.filter(isNear).length ? near : endpoints;
  }
}
