// The policy document's schema: strict about its own fields, with descriptions. The options under
// `pluginConfig.<plugin>` are checked by the plugin's own schema once they are merged (routes.ts).
import { z } from "zod";
import type { UpstreamAddress } from "../../config/formats.ts";
import { callerFlag } from "../../language/caller-flag.ts";
import { knownMethods, methodName } from "../../language/methods.ts";
import { leadingFlaw, leadingSegments, pathPattern } from "../../language/path-pattern.ts";
import { type Extensions, extensionsField } from "./extensions-field.ts";
import { unknownName } from "./problems.ts";
import { type LintField, lint } from "./lint-field.ts";
import { type AuditField, audit } from "./audit-field.ts";
import { type TracingField, tracing } from "./tracing-field.ts";
import { type UpstreamsField, isUpstreamName, upstreamsField } from "./upstreams-field.ts";
import { refuseDuplicates } from "./duplicate-routes.ts";
import { namedUpstreamsCheck } from "./named-upstreams.ts";
import { upstreamFlaw } from "./upstream-flaw.ts";
import { type PolicyTest, tests } from "./tests-field.ts";
import { retry, type RetryField } from "./retry-field.ts";
import {
  bufferRequestBytes,
  caseInsensitive,
  restorePrefix,
  streamFields,
  type StreamFields,
  timeout,
  upstreamProtocol,
} from "./route-fields.ts";

/** The parts of a plugin that a policy needs to know; every plugin definition has them. */
export interface PolicyPlugin {
  readonly options: z.ZodType;
  /** Place in the chain. Two plugins must not share one: their order would be undefined. */
  readonly priority?: number;
  /** Whether the plugin decides who gets in. Such a plugin may not fail open. */
  readonly security: boolean;
  /** @returns the request fields that these options set. `options` is unchecked: it may be any value. */
  readonly requestFields?: ((options: unknown) => readonly RequestField[]) | undefined;
  /**
   * @returns the fields and query parameters that carry credentials under these options. `options` is unchecked, too.
   */
  readonly secretNames?: ((options: unknown) => readonly string[]) | undefined;
  /** @returns the options that other services learn of. `options` is unchecked, too. */
  readonly fleetOptions?: ((options: unknown) => readonly FleetOption[]) | undefined;
  /** @returns the cookies that these options reserve for the plugin. `options` is unchecked, too. */
  readonly cookies?: ((options: unknown) => readonly PolicyCookie[]) | undefined;
}

/** A cookie that is not passed on to services. */
export interface PolicyCookie {
  readonly name: string;
  /** A service may set it. */
  readonly fromService?: true;
}

export interface FleetOption {
  /** Path of the option within the plugin's options. */
  readonly path: readonly string[];
  readonly values: readonly unknown[];
}

/** A request field that a plugin's options set for the service. */
export interface RequestField {
  readonly name: string;
  /** Path of the option within the plugin's options. */
  readonly path: readonly (string | number)[];
  /** Whether the field tells the service who the caller is. */
  readonly tellsWho: boolean;
}
/** Plugins by name. */
export type PolicyPlugins = Readonly<Record<string, PolicyPlugin>>;

export type PluginConfig = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export interface PolicyRoute extends StreamFields {
  readonly path: string;
  readonly methods?: readonly string[] | undefined;
  readonly services?: readonly string[] | undefined;
  readonly plugins?: readonly string[] | undefined;
  readonly pluginConfig?: PluginConfig | undefined;
  readonly stripPrefix?: string | undefined;
  readonly timeout?: number | undefined;
  readonly upstream?: string | undefined;
  readonly caseInsensitive?: boolean | undefined;
  readonly encodedSlash?: "refuse" | "segment" | undefined;
  readonly bufferRequestBytes?: number | undefined;
  readonly restorePrefix?: boolean | undefined;
  readonly upstreamProtocol?: "http1" | "h2c" | "h2" | "auto" | undefined;
  readonly retry?: RetryField;
  readonly tracing?: TracingField;
}

/** The document as written. No default is filled in, so that the layers' own fields can be told from defaults. */
export interface PolicyDocument {
  readonly apiVersion: "outrigger/v1";
  readonly extensions?: Extensions | undefined;
  readonly plugins?: readonly string[] | undefined;
  readonly pluginConfig?: PluginConfig | undefined;
  readonly locked?: readonly string[] | undefined;
  readonly routes?: readonly PolicyRoute[] | undefined;
  readonly upstreams?: UpstreamsField | undefined;
  readonly tracing?: TracingField;
  readonly audit?: AuditField;
  readonly lint?: LintField | undefined;
  readonly tests?: readonly PolicyTest[] | undefined;
}

export const defaultPlugins: readonly string[] = ["logging", "transform"];
const maxRoutes = 10_000;

const failMode = z
  .enum(["open", "closed"])
  .describe("What happens when a hook fails or takes too long: go on without the plugin, or answer 503");
const failClosed = z
  .literal("closed", { error: "a plugin that decides who gets in always fails closed" })
  .describe("Always closed: a plugin that decides who gets in cannot be opened");

/** The field `failMode` that every plugin's configuration has beside the plugin's own options. */
export function failModeOf({ security }: Pick<PolicyPlugin, "security">): z.ZodType {
  return security ? failClosed : failMode;
}

// Checks across members also run when a member is wrong, to report all problems at once. By default zod skips them.
const always = { when: () => true };

function refuseRepeated(list: unknown, context: z.core.$RefinementCtx): void {
  const seen = new Set<unknown>();
  for (const [index, name] of Array.isArray(list) ? list.entries() : []) {
    if (seen.has(name)) context.addIssue({ code: "custom", path: [index], message: "listed twice" });
    seen.add(name);
  }
}

/** A list that names nothing twice. */
function distinct<Member extends z.ZodType<string>>(member: Member, least: number): z.ZodArray<Member> {
  return z.array(member).min(least).superRefine(refuseRepeated, always).meta({ uniqueItems: true });
}

export interface SchemaOptions {
  /** The built-in plugins. */
  readonly plugins: PolicyPlugins;
  /** Names of extensions that may be used beside the built-in plugins. */
  readonly extensions?: readonly string[] | undefined;
  /** Whether the document is a layer over another. A layer has no extensions of its own. */
  readonly layer?: boolean | undefined;
  /** Whether a route that applies to `service` may name this upstream. Default: any well-formed one. */
  readonly isUpstreamAllowed?: ((target: UpstreamAddress) => boolean) | undefined;
  /** Only upstreams of this service's routes are checked against the allow-list. Default: those of every route. */
  readonly service?: string | undefined;
}

const everyCaller = z.undefined({
  error: "a plugin that decides who gets in runs for every caller: try another with policy apply --traffic",
});

/** The field `flag` that every plugin's configuration has: which callers the configuration is for. */
export function flagOf({ security }: Pick<PolicyPlugin, "security">): z.ZodType {
  return security ? everyCaller : callerFlag;
}

/** The plugin whose options' schema replaces this one in the JSON Schema. */
export const pluginOfConfig = new WeakMap<z.core.$ZodType, PolicyPlugin>();
/** Schemas in which names of a document's own extensions may stand; the JSON Schema cannot know them. */
export const isOpenToExtensions = new WeakSet<z.core.$ZodType>();

function configSchema({ plugins, extensions: others = [] }: SchemaOptions): z.ZodType<PluginConfig> {
  const shape = [...Object.keys(plugins), ...others].map((name) => {
    const config = z.record(z.string(), z.unknown());
    const plugin = plugins[name];
    if (plugin !== undefined) pluginOfConfig.set(config, plugin);
    return [name, config.optional()] as const;
  });
  // The members are optional, which the index signature cannot say under exactOptionalPropertyTypes.
  const schema = z.strictObject(Object.fromEntries(shape)) as unknown as z.ZodType<PluginConfig>;
  isOpenToExtensions.add(schema);
  return schema;
}

const knownMethod = methodName.meta({ enum: [...knownMethods] });

/** Checks across a route's fields. */
function routeCheck({ isUpstreamAllowed = () => true, service }: SchemaOptions) {
  const applies = (route: Partial<PolicyRoute>): boolean =>
    service === undefined || !Array.isArray(route.services) || route.services.includes(service);
  return (route: unknown, context: z.core.$RefinementCtx): void => {
    const given: Partial<PolicyRoute> = Object(route) as object;
    const { path, stripPrefix, upstream } = given;
    const flaws = {
      stripPrefix:
        typeof stripPrefix === "string" && typeof path === "string" && leadingFlaw(stripPrefix, path),
      restorePrefix: given.restorePrefix === true && stripPrefix === undefined && "needs stripPrefix",
      upstream:
        typeof upstream === "string" &&
        !isUpstreamName(upstream) &&
        upstreamFlaw(upstream, (target) => !applies(given) || isUpstreamAllowed(target)),
    };
    for (const [field, message] of Object.entries(flaws)) {
      if (message) context.addIssue({ code: "custom", path: [field], message });
    }
  };
}

function routeSchema(options: SchemaOptions) {
  return z
    .strictObject({
      path: pathPattern,
      methods: distinct(knownMethod, 1)
        .optional()
        .describe("Methods in upper case; GET takes HEAD. Absent: every method not listed on the same path"),
      services: distinct(z.string().min(1).max(128), 1)
        .optional()
        .describe("Services this route is for. Absent: every service"),
      plugins: pluginNames(options).optional().describe("Replaces the default list on this route"),
      pluginConfig: configSchema(options)
        .optional()
        .describe("Options by plugin, merged over the defaults: objects deep, arrays and scalars replaced"),
      stripPrefix: leadingSegments
        .optional()
        .describe("Leading whole segments of path that are removed before forwarding"),
      timeout,
      ...streamFields,
      upstream: z
        .string()
        .optional()
        .describe(
          "http://host:port, https://host:port, unix:/path or a name of upstreams in place of OUTRIGGER_UPSTREAM",
        ),
      caseInsensitive,
      encodedSlash: z
        .enum(["refuse", "segment"])
        .optional()
        .describe(
          "A path with %2F: refused, or taken as it is, with the slash as part of its segment, unless decoding it leads to another route or rule (default: refuse where a security plugin decides, else segment)",
        ),
      bufferRequestBytes,
      restorePrefix,
      upstreamProtocol,
      retry,
      tracing,
    })
    .superRefine(routeCheck(options), always);
}

function pluginNames({ plugins, extensions: others = [] }: SchemaOptions) {
  const known = [...Object.keys(plugins), ...others];
  const name = z.enum(known, {
    error: ({ input }) =>
      typeof input === "string" ? unknownName("unknown plugin", input, known) : undefined,
  });
  isOpenToExtensions.add(name);
  return distinct(name, 0);
}

/** The document's schema for these plugins. Parsing a value gives a PolicyDocument. */
export function documentSchema(options: SchemaOptions): z.ZodType<PolicyDocument> {
  const { plugins, layer = false } = options;
  return z
    .strictObject({
      apiVersion: z
        .literal("outrigger/v1", { error: 'must be "outrigger/v1"' })
        .describe("Version of this format"),
      extensions: extensionsField(Object.keys(plugins), layer),
      plugins: pluginNames(options)
        .optional()
        .describe(`Plugins of every route that lists none (default ${defaultPlugins.join(", ")})`),
      pluginConfig: configSchema(options).optional().describe("Default options of every route, by plugin"),
      locked: pluginNames(options)
        .optional()
        .describe(
          "Plugins that a service's layer can neither reconfigure nor drop; only the shared policy sets it",
        ),
      routes: z
        .array(routeSchema(options))
        .max(maxRoutes)
        .superRefine(refuseDuplicates, always)
        .optional()
        .describe(
          "The most specific match wins, whatever the order. Absent: one route that takes everything; empty: none does",
        ),
      upstreams: upstreamsField(layer),
      tracing,
      audit,
      lint,
      tests,
    })
    .superRefine(layer ? () => {} : namedUpstreamsCheck(options), always)
    .describe("Outrigger policy: the shared one, or a service's layer over it");
}
