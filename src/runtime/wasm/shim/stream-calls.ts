// Implements the ABI functions for the exchange itself, for the guest's own calls, and for its contexts.
import type { Effects } from "./effects.ts";
import type { HostFunctions } from "./host-functions.ts";
import type { Memory } from "./memory.ts";
import type { Pairs } from "./pairs.ts";
import type { GuestState } from "./state.ts";

/** Limits of a guest's own calls. */
export interface CallBounds {
  readonly calls: number;
  readonly bodyBytes: number;
}

export class StreamCalls {
  readonly #state: GuestState;
  readonly #memory: Memory;
  readonly #effects: Effects;
  readonly #pairs: Pairs;
  readonly #bounds: CallBounds;
  /** Limit in bytes of the body of the guest's own answer. */
  readonly #mostBody: number;
  #lastCall = 0;
  readonly #underWay = new Set<number>();

  constructor(
    state: GuestState,
    memory: Memory,
    effects: Effects,
    pairs: Pairs,
    bounds: CallBounds,
    mostBody: number,
  ) {
    this.#mostBody = mostBody;
    this.#state = state;
    this.#memory = memory;
    this.#effects = effects;
    this.#pairs = pairs;
    this.#bounds = bounds;
  }

  functions(): HostFunctions {
    return {
      proxy_continue_stream: (type) => this.#stream("n", type),
      proxy_close_stream: (type) => this.#stream("x", type),
      proxy_continue_request: () => this.#stream("n", 0),
      proxy_continue_response: () => this.#stream("n", 1),
      // The route is chosen before any plugin runs.
      proxy_clear_route_cache: () => 0,
      proxy_send_local_response: (status, details, detailsSize, body, bodySize, fields, size, grpc) =>
        this.#respond(status, grpc, [details, detailsSize, body, bodySize, fields, size]),
      proxy_http_call: (name, nameSize, fields, size, body, bodySize, trailers, trailersSize, ms, toId) =>
        this.#call(ms, toId, [name, nameSize, fields, size, body, bodySize, trailers, trailersSize]),
      proxy_set_effective_context: (id) => (this.#state.activate(id >>> 0) ? 0 : 2),
      proxy_done: () => this.#done(),
      proxy_get_status: (toCode, toMessage, toSize) => {
        const response = this.#state.callResponse;
        if (!this.#memory.writeU32(toCode, response?.status ?? 0)) return 6;
        return this.#memory.give(response?.message ?? "", toMessage, toSize);
      },
      proxy_set_tick_period_milliseconds: (period) => {
        this.#effects.add("t", String(this.#state.root), String(period >>> 0));
        return 0;
      },
      ...this.#gRpc(),
    };
  }

  /** The response of the call has arrived. @returns whether the call was waiting for it */
  answered(call: number): boolean {
    return this.#underWay.delete(call);
  }

  // The sidecar makes no gRPC calls for guests: these functions report failure.
  #gRpc(): HostFunctions {
    return {
      // Every SDK knows this status here: the Rust SDK traps on any other.
      proxy_grpc_call: () => 10,
      proxy_grpc_stream: () => 10,
      proxy_grpc_send: () => 1,
      proxy_grpc_cancel: () => 1,
      proxy_grpc_close: () => 1,
    };
  }

  #stream(kind: "n" | "x", type: number): number {
    // 2 and 3 are connections, which a guest cannot act on here.
    if (type >>> 0 > 3) return 2;
    if (type > 1) return 12;
    // Outside of a stream there is nothing to continue, and asking for it is no error.
    if (this.#state.stream !== undefined) this.#effects.of(this.#state.active).add(kind, String(type));
    return 0;
  }

  #done(): number {
    const state = this.#state;
    const context = state.streams.get(state.active) ?? state.roots.get(state.active);
    if (context === undefined || !context.pending) return 1;
    context.pending = false;
    this.#effects.of(state.active).add("D");
    return 0;
  }

  #respond(status: number, grpcStatus: number, places: readonly number[]): number {
    const [details, body, fields] = this.#texts(places);
    if (details === undefined || body === undefined || fields === undefined) return 6;
    const flat = this.#pairs.decode(fields);
    if (flat === undefined || this.#state.stream === undefined) return 2;
    if (body.length > this.#mostBody || !this.#effects.hasRoom(fields.length)) return 10;
    this.#effects
      .of(this.#state.active)
      .add("r", String(status >>> 0), details, String(grpcStatus | 0), flat.join("\0"), body);
    return 0;
  }

  #call(timeoutMs: number, toId: number, places: readonly number[]): number {
    const [upstream, fields, body, trailers] = this.#texts(places);
    if (upstream === undefined || fields === undefined || body === undefined || trailers === undefined)
      return 6;
    if (!this.#memory.has(toId, 4)) return 6;
    const flat = this.#pairs.decode(fields);
    if (flat === undefined || !this.#mayCall(upstream)) return 2;
    const names = flat.filter((_, index) => index % 2 === 0);
    if (![":authority", ":method", ":path"].every((name) => names.includes(name))) return 2;
    const { calls, bodyBytes } = this.#bounds;
    if (this.#underWay.size >= calls || body.length > bodyBytes) return 10;
    if (!this.#effects.hasRoom(fields.length)) return 10;
    this.#lastCall += 1;
    this.#underWay.add(this.#lastCall);
    this.#memory.writeU32(toId, this.#lastCall);
    const { active } = this.#state;
    this.#effects
      .of(active)
      .add("h", String(this.#lastCall), upstream, String(timeoutMs >>> 0), flat.join("\0"), body);
    return 0;
  }

  /** Reads texts given by pointer and size. */
  #texts(places: readonly number[]): (string | undefined)[] {
    const texts: (string | undefined)[] = [];
    for (let i = 0; i + 1 < places.length; i += 2) {
      texts.push(this.#memory.read(places[i] as number, places[i + 1] as number));
    }
    return texts;
  }

  // Allowed are upstreams that the policy names, and hosts that the manifest asks for.
  #mayCall(upstream: string): boolean {
    const { clusters, hosts } = this.#state.facts;
    if (clusters.includes(upstream)) return true;
    // Istio's name of a cluster: direction|port|subset|host.
    const parts = upstream.split("|");
    const named = parts.length === 4 ? `${parts[3]}:${parts[1]}` : upstream;
    const host = named.replace(/:\d+$/, "");
    return hosts.some((allowed) => {
      const isWithPort = /:\d+$/.test(allowed);
      const name = isWithPort ? named : host;
      return allowed.startsWith("*.") ? name.endsWith(allowed.slice(1)) : name === allowed;
    });
  }
}
