// Defines the plugin contract, `outrigger/plugin`: everything that a plugin may import. A plugin is a definition
// (`definePlugin`) whose `setup` runs once per route and snapshot and returns the hooks of the plugin. See
// plugins/README.md.
import type { z } from "zod";
import type { CheckContext, CheckFinding } from "./checks.ts";
import type { CommandGroup } from "./commands.ts";
import type { GatewayError } from "./errors.ts";
import type { Exchange, ExchangeResponse, Outcome, RouteInfo, Verdict } from "./exchange.ts";
import type { PluginLint } from "./lint.ts";
import type { PluginSecrets } from "./secrets.ts";
import type { Clock, PluginNeeds, Services } from "./services.ts";

/** The zod with which a plugin writes its options schema. */
export { z } from "zod";
export { boundedCache } from "./bounded-cache.ts";
export * from "./checks.ts";
export * from "./commands.ts";
export { textOf } from "./error-text.ts";
export { type FieldLine, fieldLine, Fields } from "./fields.ts";
export {
  type ErrorCode,
  type ErrorKind,
  errorKinds,
  GatewayError,
  type GatewayErrorOptions,
} from "./errors.ts";
export * from "./exchange.ts";
export * from "./language.ts";
export * from "./lint.ts";
export { note, type Note } from "./notes.ts";
export { pairsOf } from "./pairs.ts";
export type * from "./secrets.ts";
export * from "./services.ts";

/** A cookie that belongs to a plugin. */
export interface OwnedCookie {
  readonly name: string;
  /**
   * `Set-Cookie` value that deletes the cookie. It is sent when a client's head is too large (431). Absent = the cookie
   * stays.
   */
  readonly expiry?: string;
  /** The service may set this cookie as well; only what clients send is withheld from the service. */
  readonly fromService?: true;
}

export type MaybePromise<T> = T | Promise<T>;

/**
 * The hooks of a plugin on one route. A hook that returns a plain value costs no microtask. A hook that returns a
 * promise must settle within the hook's time limit.
 */
export interface Hooks {
  /** Runs before the request goes to the upstream, in order of priority. The first answer ends the phase. */
  onRequest?(exchange: Exchange): MaybePromise<Verdict>;
  /**
   * Runs before the first byte goes to the client, in reverse order of priority, for the plugins whose request phase
   * ran. Runs also for responses that the sidecar makes itself.
   */
  onResponse?(exchange: Exchange, response: ExchangeResponse): MaybePromise<void>;
  /**
   * May turn a failure into an answer (such as stale content). Runs in reverse order of priority; the first answer
   * counts.
   */
  onError?(exchange: Exchange, error: GatewayError): MaybePromise<Verdict>;
  /**
   * Decides whether a long exchange (a stream, an upgrade) may continue. Every few seconds the plugins of the policy in
   * force get its original request again. A verdict ends the exchange, unless its error has status 503. The hook must
   * not count the request or change anything.
   */
  recheck?(exchange: Exchange): MaybePromise<Verdict>;
  /**
   * Runs after the last byte, the abort or the failure, for every exchange whose request phase ran. It must not change
   * anything.
   */
  onComplete?(exchange: Exchange, outcome: Outcome): void;
  /** Time limits per hook, in milliseconds. They replace the common limit. */
  readonly timeLimitMs?: {
    readonly onRequest?: number;
    readonly onResponse?: number;
    readonly onError?: number;
    readonly recheck?: number;
  };
  /**
   * Request fields that this plugin sets: lower-case names, `-` for `_`. On every route, a field of such a name that a
   * client sends is removed.
   */
  readonly ownedRequestFields?: readonly string[];
  /**
   * Names of query parameters that carry a credential. On this plugin's routes they reach `request.ownedQuery`, and no
   * log, cache or service.
   */
  readonly ownedQuery?: readonly string[];
  /**
   * WebSocket subprotocols that carry a credential: these names, and those that begin with one of them and a dot. On
   * this plugin's routes they reach `request.ownedSubprotocols` alone.
   */
  readonly ownedSubprotocols?: readonly string[];
  /**
   * Cookies that this plugin sets. On every route they reach `request.ownedCookies` and no service, and no service can
   * set them (unless `fromService`).
   */
  readonly ownedCookies?: readonly OwnedCookie[];
  /**
   * Names of fields that this plugin reads, sets or removes in heads. Such a field is dropped from trailers, in both
   * directions.
   */
  readonly headOnlyFields?: readonly string[];
  /**
   * Public JSON documents by name (such as a key set). The admin listener serves them at `/plugins/<plugin>/<name>`.
   */
  readonly documents?: Readonly<Record<string, () => string>>;
  /** @returns undefined when the plugin is healthy, else what is wrong */
  health?(): string | undefined;
  /** Runs once, after the last exchange of the snapshot. */
  close?(): MaybePromise<void>;
}

/** A request field that a plugin sets because its options say so. */
export interface RequestField {
  readonly name: string;
  /** Where the field stands in the options. */
  readonly path: readonly (string | number)[];
  /** Whether the field tells the service who the caller is. */
  readonly tellsWho: boolean;
}

/** An option whose value becomes known to other services than the one whose policy sets it. */
export interface FleetOption {
  /** Where the option stands in the options. */
  readonly path: readonly string[];
  /** The values in it that other services get to know. */
  readonly values: readonly unknown[];
}

export type FailMode = "open" | "closed";

export interface SetupInput<Options, State> {
  readonly options: Options;
  readonly services: Services;
  readonly state: State;
  readonly route: RouteInfo;
  /**
   * Digest of what else may change requests and answers on this route, behind this plugin: other plugins and their
   * options, what is stripped of paths. The same at every sidecar with the same policy. Who keeps answers keeps apart
   * what another policy made.
   */
  readonly behind?: () => string;
}

export interface PluginDefinition<Schema extends z.ZodType = z.ZodType, State = unknown> {
  readonly name: string;
  readonly version: string;
  /** Version of this contract. */
  readonly apiVersion: 1;
  /** Position in the chain: lowest first on the request, reverse on the response. Unique among plugins. */
  readonly priority: number;
  /**
   * Whether the plugin decides who gets in. Such a plugin always fails closed, and its routes refuse paths that a
   * service might read differently.
   */
  readonly security: boolean;
  /**
   * Whether the plugin refuses requests by rules of the policy without deciding who gets in (limits). Other routes then
   * refuse a path that a service could read as the path of one of this plugin's routes.
   */
  readonly refuses?: boolean;
  /**
   * What happens when a hook throws or takes too long: `open` = go on without the plugin, `closed` = answer 503. The
   * policy may override it, but not for a `security` plugin.
   */
  readonly failMode: FailMode;
  /** Strict zod object. Every field has a description and a default. */
  readonly options: Schema;
  /** Shared resources that the plugin uses; absent = only its own. */
  readonly needs?: PluginNeeds;
  /** Secret settings that this plugin adds to the sidecar. It may read them. */
  readonly secrets?: PluginSecrets;
  /**
   * Lists the request fields that the options set. No client may send them, and a service's layer may not set those
   * that tell the service who the caller is. The options come as the policy writes them, not yet checked.
   */
  readonly requestFields?: (options: unknown) => readonly RequestField[];
  /**
   * Lists the request fields and query parameters that carry credentials by these options (unchecked). No plugin may
   * log their values.
   */
  readonly secretNames?: (options: unknown) => readonly string[];
  /**
   * Lists the options whose values other services get to know. A service's layer may set such an option only to values
   * that the shared policy sets, too. The options come unchecked.
   */
  readonly fleetOptions?: (options: unknown) => readonly FleetOption[];
  /**
   * Lists the cookies that belong to the plugin by these options (unchecked). They are kept from every service, also on
   * other services' routes.
   */
  readonly cookies?: (options: unknown) => readonly OwnedCookie[];
  /** Rules for `policy lint` about the options. Only that command loads them. */
  lint?(): Promise<PluginLint<z.output<Schema>>>;
  /** Commands that the plugin adds to the command line. Only the command line loads them. */
  commands?(): Promise<readonly CommandGroup[]>;
  /** The plugin's part of `outrigger check`. It must not change anything. */
  check?(context: CheckContext): Promise<readonly CheckFinding[]>;
  /**
   * Makes the state that outlives a change of policy (caches, counters). Runs once per process and version, when a
   * policy first names the plugin.
   */
  init?(services: Services): State;
  /**
   * Disposes of the state that `init` made: when the process closes, or once another version has replaced this one and
   * the last policy with this one is closed.
   */
  dispose?(state: State): MaybePromise<void>;
  /**
   * Exports state for another version of this plugin. Runs in each process when that version comes into force, while
   * this one may still have requests under way. Return plain data: the other version need not know the classes of this
   * one.
   */
  exportState?(state: State): MaybePromise<unknown>;
  /**
   * Adds to the state what the previous version exported. When both hooks return plainly, this happens before the first
   * request sees the state; otherwise as soon as the export is ready. If a hook throws, the error is logged and the
   * state stays as `init` made it.
   * @param exported data of any other version: check it
   */
  importState?(state: State, exported: unknown): MaybePromise<void>;
  /**
   * Makes the state that all workers of a sidecar share while there is no Redis. Runs once, in their primary, at the
   * first `services.workers.call`.
   * @returns a function that handles each request; what it throws rejects the caller's promise
   */
  sharedState?(clock: Clock): (request: unknown) => unknown;
  /** Runs once per route and snapshot. If it rejects, the whole policy is refused. */
  setup(input: SetupInput<z.output<Schema>, State>): MaybePromise<Hooks>;
}

/** Types a plugin definition. It checks nothing at run time. */
export function definePlugin<Schema extends z.ZodType, State>(
  definition: PluginDefinition<Schema, State>,
): PluginDefinition<Schema, State> {
  return definition;
}
