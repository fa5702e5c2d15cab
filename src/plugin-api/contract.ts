// The plugin contract, `outrigger/plugin`: everything a plugin may import. A plugin is a definition (`definePlugin`) whose `setup` runs
// once per route and snapshot and returns the hooks it has. See plugins/README.md.
import type { z } from "zod";
import type { CheckContext, CheckFinding } from "./checks.ts";
import type { CommandGroup } from "./commands.ts";
import type { GatewayError } from "./errors.ts";
import type { Exchange, ExchangeResponse, Outcome, RouteInfo, Verdict } from "./exchange.ts";
import type { PluginLint } from "./lint.ts";
import type { PluginSecrets } from "./secrets.ts";
import type { Clock, PluginNeeds, Services } from "./services.ts";

/** The zod that options are read with. */
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

/** A cookie that a plugin keeps for itself. */
export interface OwnedCookie {
  readonly name: string;
  /** `Set-Cookie` value that ends it, sent along where a client's head is too large (431); absent = it stays. */
  readonly expiry?: string;
  /** A service may set it; only what clients send is taken. */
  readonly fromService?: true;
}

export type MaybePromise<T> = T | Promise<T>;

/** The hooks a plugin has on one route. A plain return costs no microtask; a promise ends within the hook's time limit. */
export interface Hooks {
  /** Before the upstream is asked, by priority. The first answer ends the phase. */
  onRequest?(exchange: Exchange): MaybePromise<Verdict>;
  /** Before the first byte to the client, in reverse; for the plugins whose request phase ran, also on answers of our own. */
  onResponse?(exchange: Exchange, response: ExchangeResponse): MaybePromise<void>;
  /** May turn a failure into an answer (stale content). Asked in reverse; the first answer counts. */
  onError?(exchange: Exchange, error: GatewayError): MaybePromise<Verdict>;
  /**
   * Whether an exchange that goes on (a stream, an upgrade) may go on: its request is shown anew, as it came, every few
   * seconds, to the plugins of the policy in force. A verdict ends it, unless its error is of status 503; counts and
   * changes nothing.
   */
  recheck?(exchange: Exchange): MaybePromise<Verdict>;
  /** After the last byte, the abort or the failure; looks, never changes. Runs for every exchange whose request phase ran. */
  onComplete?(exchange: Exchange, outcome: Outcome): void;
  /** Time limits in milliseconds that replace the common one, per hook. */
  readonly timeLimitMs?: {
    readonly onRequest?: number;
    readonly onResponse?: number;
    readonly onError?: number;
    readonly recheck?: number;
  };
  /** Lower-case names (`-` for `_`) of request fields that this plugin sets: whatever a client sends under them is removed on every route. */
  readonly ownedRequestFields?: readonly string[];
  /** Query parameters with a credential: on this plugin's routes they reach `request.ownedQuery`, and no log, cache or service. */
  readonly ownedQuery?: readonly string[];
  /** WebSocket subprotocols likewise (`request.ownedSubprotocols`): these names, and those that begin with one and a dot. */
  readonly ownedSubprotocols?: readonly string[];
  /** Cookies that this plugin sets: on every route they reach `request.ownedCookies` and no service, and no service sets them (unless `fromService`). */
  readonly ownedCookies?: readonly OwnedCookie[];
  /** Names of fields that this plugin reads, sets or removes in heads: none comes as a trailer, either way. */
  readonly headOnlyFields?: readonly string[];
  /** JSON documents for everybody, by name: the admin listener serves them at `/plugins/<plugin>/<name>` (a key set). */
  readonly documents?: Readonly<Record<string, () => string>>;
  /** undefined = well; text = what is wrong. */
  health?(): string | undefined;
  /** Once, after the last exchange of the snapshot. */
  close?(): MaybePromise<void>;
}

/** A field towards the service that a plugin's options set. */
export interface RequestField {
  readonly name: string;
  /** Where in the options it stands. */
  readonly path: readonly (string | number)[];
  /** Whether it tells the service who calls. */
  readonly tellsWho: boolean;
}

/** An option that other services hear of than the one whose policy it is. */
export interface FleetOption {
  /** Where in the options it stands. */
  readonly path: readonly string[];
  /** What of it they hear of. */
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
  /** Lowest first on the request, reverse on the response; unique. */
  readonly priority: number;
  /** Decides who gets in: always fails closed, and its routes refuse paths that a service might read differently. */
  readonly security: boolean;
  /**
   * Refuses requests by rules of the policy, without deciding who gets in (limits): a path that could be read as one of
   * its routes' is refused on the others.
   */
  readonly refuses?: boolean;
  /** When a hook throws or takes too long: `open` = go on without it, `closed` = 503. The policy may override it, not for `security`. */
  readonly failMode: FailMode;
  /** Strict zod object; every field has a description and a default. */
  readonly options: Schema;
  /** What it uses of what is shared; absent = nothing but what is its own. */
  readonly needs?: PluginNeeds;
  /** Settings of its own that are secret: it may read them. */
  readonly secrets?: PluginSecrets;
  /**
   * The request fields that options set, as they are written in a policy and not yet checked: a service's layer may not
   * set those that tell the service who calls, and no client may send them.
   */
  readonly requestFields?: (options: unknown) => readonly RequestField[];
  /** Names of request fields and query parameters that carry credentials by such options: no plugin may log their values. */
  readonly secretNames?: (options: unknown) => readonly string[];
  /** Options, as they are written, that other services hear of: a service's layer may say no more there than the shared policy. */
  readonly fleetOptions?: (options: unknown) => readonly FleetOption[];
  /** The cookies that such options make its own, likewise unchecked: kept from every service, also on other services' routes. */
  readonly cookies?: (options: unknown) => readonly OwnedCookie[];
  /** What `policy lint` says of its options, loaded there alone. */
  lint?(): Promise<PluginLint<z.output<Schema>>>;
  /** What it brings for the command line, loaded there alone. */
  commands?(): Promise<readonly CommandGroup[]>;
  /** What `outrigger check` looks at for it; changes nothing. */
  check?(context: CheckContext): Promise<readonly CheckFinding[]>;
  /** Once per process and version, when a policy first names the plugin: what outlives a policy change (caches, counters). */
  init?(services: Services): State;
  /**
   * Ends what `init` began: at the process's close, or once another version has taken this one's place and the last
   * policy that had this one is closed.
   */
  dispose?(state: State): MaybePromise<void>;
  /**
   * What another version of this plugin takes over of the state: asked when that one is put in force, in each process,
   * while this one may still have requests under way. Plain data: the other version need not know this one's classes.
   */
  exportState?(state: State): MaybePromise<unknown>;
  /**
   * Adds what the version before exported to the state. Before the first request has it where both hooks return plainly,
   * else as soon as it is there. One that throws is told in the log, and the state stays as `init` made it.
   * @param exported of any version: check it
   */
  importState?(state: State, exported: unknown): MaybePromise<void>;
  /**
   * What all workers of a sidecar share while there is no Redis; made once, in their primary, at the first
   * `services.workers.call`. @returns what handles requests; what it throws is the caller's rejection
   */
  sharedState?(clock: Clock): (request: unknown) => unknown;
  /** Once per route and snapshot. Rejecting refuses the whole policy. */
  setup(input: SetupInput<z.output<Schema>, State>): MaybePromise<Hooks>;
}

/** Types a plugin definition; checks nothing at run time that the registry's test does not. */
export function definePlugin<Schema extends z.ZodType, State>(
  definition: PluginDefinition<Schema, State>,
): PluginDefinition<Schema, State> {
  return definition;
}
