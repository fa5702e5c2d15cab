// Keeps the state of a guest's shim: its contexts, and which of them the current call is about.
import type { HeaderMap } from "./header-map.ts";

/** One request with its response. */
export interface StreamContext {
  readonly id: number;
  readonly root: number;
  /** By the ABI's number of the map: request fields, request trailers, response fields, response trailers. */
  readonly maps: (HeaderMap | undefined)[];
  /**
   * By the ABI's number of the buffer: request body, response body. Undefined while the body cannot be read or written.
   */
  readonly bodies: (string | undefined)[];
  /** Whether the guest changed the bodies since they were last reported. */
  readonly changed: boolean[];
  /** The host's facts about the exchange, separated by \0; parsed only when a guest asks. */
  info: string;
  /** Properties that the guest set, by path. */
  properties: Map<string, string> | undefined;
  /** Whether `proxy_on_done` said that the guest has not finished with the context. */
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

/** The response of one of the guest's own calls, while the guest is told of it. */
export interface CallResponse {
  readonly status: number;
  readonly message: string;
  readonly headers: HeaderMap;
  readonly body: string;
  readonly trailers: HeaderMap;
}

/** Facts that a guest gets when it is loaded. */
export interface GuestFacts {
  /** `0.1.0`, `0.2.0` or `0.2.1`. */
  readonly abi: string;
  readonly vmConfiguration: string;
  /** By path. */
  readonly properties: Readonly<Record<string, string>>;
  /** Names of upstreams that calls may go to. */
  readonly clusters: readonly string[];
  /** Hosts that calls may go to: whole, with a port, or `*.suffix`. */
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
  /** Whether the VM is starting: `get_configuration` then returns the VM's configuration. */
  startsVm = false;
  /** The context that ABI functions act on. */
  active = 0;

  constructor(facts: GuestFacts) {
    this.facts = facts;
  }

  get stream(): StreamContext | undefined {
    return this.streams.get(this.active);
  }

  /** The root of the context that ABI functions act on. */
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
