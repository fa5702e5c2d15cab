// What the shim knows of its guest: contexts, and which of them a call is about.
import type { HeaderMap } from "./header-map.ts";

/** One request with its response. */
export interface StreamContext {
  readonly id: number;
  readonly root: number;
  /** By the ABI's number of the map: request fields, request trailers, response fields, response trailers. */
  readonly maps: (HeaderMap | undefined)[];
  /** By the ABI's number of the buffer: request body, response body. There while it can be read and written. */
  readonly bodies: (string | undefined)[];
  /** Whether the guest changed them since they were handed out last. */
  readonly changed: boolean[];
  /** What the host says of it, a zero between any two; read when a guest asks. */
  info: string;
  /** `set_property`, by path. */
  properties: Map<string, string> | undefined;
  /** `on_done` said that the guest is not through with it. */
  pending: boolean;
}

/** A configuration. */
export interface RootContext {
  readonly id: number;
  /** `plugin_root_id`. */
  readonly name: string;
  readonly configuration: string;
  pending: boolean;
}

/** The response of a call of the guest's own, while it is told of it. */
export interface CallResponse {
  readonly status: number;
  readonly message: string;
  readonly headers: HeaderMap;
  readonly body: string;
  readonly trailers: HeaderMap;
}

/** What is told when a guest is loaded. */
export interface GuestFacts {
  /** `0.1.0`, `0.2.0` or `0.2.1`. */
  readonly abi: string;
  readonly vmConfiguration: string;
  /** By path. */
  readonly properties: Readonly<Record<string, string>>;
  /** Names of upstreams that calls may go to. */
  readonly clusters: readonly string[];
  /** Hosts likewise: whole, with a port, or `*.suffix`. */
  readonly hosts: readonly string[];
  /** name, value, … */
  readonly environment: readonly string[];
  readonly logLevel: number;
}

export class GuestState {
  readonly facts: GuestFacts;
  readonly streams = new Map<number, StreamContext>();
  readonly roots = new Map<number, RootContext>();
  /** Streams whose bodies were changed in this call. */
  readonly touched = new Set<StreamContext>();
  callResponse: CallResponse | undefined = undefined;
  /** What `get_configuration` gives: the VM's while that starts. */
  startsVm = false;
  /** The context that functions are about. */
  active = 0;

  constructor(facts: GuestFacts) {
    this.facts = facts;
  }

  get stream(): StreamContext | undefined {
    return this.streams.get(this.active);
  }

  /** The root of the context that functions are about. */
  get root(): number {
    return this.streams.get(this.active)?.root ?? this.active;
  }

  get configuration(): string {
    if (this.startsVm) return this.facts.vmConfiguration;
    return this.roots.get(this.root)?.configuration ?? "";
  }

  /** @returns false = there is no such context */
  activate(id: number): boolean {
    if (!this.streams.has(id) && !this.roots.has(id)) return false;
    this.active = id;
    return true;
  }
}
