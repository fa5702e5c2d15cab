// The pod annotations that configure its sidecar: a closed table, with a strict parser for each.
import {
  FormatError,
  integer,
  matching,
  oneOf,
  parseHostPatterns,
  parseTrustedPeers,
} from "../config/formats.ts";
import { nearestName } from "../language/nearest.ts";
import { parseImage, repositoryOf } from "./image.ts";
import { Refusal } from "./refusal.ts";
import { parseCpu, parseMemory } from "./quantity.ts";

export const annotationPrefix = "outrigger.dev/";
/** Written by the injector: the version that injected. */
export const injectedAnnotation = `${annotationPrefix}injected`;
/** Value of that annotation in a pod that opts out and brings its own sidecar. */
export const ownSidecar = "by hand";
/** Written by the injector when a namespace prefers pods without a sidecar to no pods: the reason. */
export const notInjectedAnnotation = `${annotationPrefix}not-injected`;
/** Written by the injector: the policy made from `plugins`. A volume shows it to the sidecar. */
export const policyAnnotation = `${annotationPrefix}injected-policy`;
const written: readonly string[] = [injectedAnnotation, notInjectedAnnotation, policyAnnotation];

interface Annotation<T> {
  readonly parse: (text: string) => T;
  readonly doc: string;
}

/** RFC 1123, as the API server requires for names of objects. */
const objectName = matching(
  /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/,
  "the name of an object: lower-case letters, digits, dots and dashes",
);
const port = integer(1, 65_535);
/** Only checks the text: the sidecar parses it itself. */
const checkedBy = (parse: (text: string) => unknown) => (text: string) => {
  parse(text);
  return text;
};
const own = <T>(parse: (text: string) => T, doc: string): Annotation<T> => ({ parse, doc });

/** By name, without `annotationPrefix`. */
export const annotations = {
  inject: own(
    oneOf("true", "false"),
    "`false`: this pod gets no sidecar; the answer, the log and a metric say so",
  ),
  service: own(
    matching(
      /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/,
      "at most 128 letters, digits, dots, dashes and underscores",
    ),
    "`OUTRIGGER_SERVICE`; default: the label `app.kubernetes.io/name`, else `app`",
  ),
  "upstream-port": own(
    port,
    "where the service listens, on loopback; default: the one TCP port of its containers, or the one named `http`; `3000` in a pod that ends (a Job's) and has none",
  ),
  "upstream-protocol": own(
    oneOf("http1", "h2c", "auto"),
    "`OUTRIGGER_UPSTREAM_PROTOCOL`: `http1`, `h2c`, `auto`; default: `http1`",
  ),
  intercept: own(
    oneOf("true", "false"),
    "`true`: an init container with `NET_ADMIN` [takes the service's port](interception.md), so that nobody comes past the sidecar; namespaces of Pod Security `baseline` and `restricted` refuse it",
  ),
  "listen-port": own(integer(1024, 65_535), "where clients connect; default: `8080`"),
  "admin-port": own(integer(1024, 65_535), "health and metrics; default: `9901`"),
  "trusted-proxies": own(checkedBy(parseTrustedPeers), "`OUTRIGGER_TRUSTED_PROXIES`"),
  "log-level": own(oneOf("debug", "info", "warn", "error"), "`LOG_LEVEL`; default: `info`"),
  "redis-secret": own(
    objectName,
    "Secret of the pod's namespace whose key `url` is `REDIS_URL`; `none`: without Redis, by `plugins` or `policy-config-map`; default: `outrigger-redis` (`--redis-secret`)",
  ),
  plugins: own(
    (text) => text.split(",").map((each) => each.trim()),
    "built-in plugins, comma-separated: in force until Redis has a policy",
  ),
  "policy-config-map": own(
    objectName,
    "ConfigMap of the pod's namespace whose key `policy.yaml` is in force until Redis has a policy",
  ),
  "plugin-volume": own(
    matching(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, "the name of a volume of the pod"),
    "volume of the pod with packages of extensions: `OUTRIGGER_PLUGIN_DIR`",
  ),
  "plugin-hosts": own(checkedBy(parseHostPatterns), "`OUTRIGGER_PLUGIN_HOSTS`: registries of packages"),
  image: own(parseImage, "another tag or digest of the injector's image (`--image`, `--allow-image`)"),
  "cpu-request": own(parseCpu, "default: `100m`"),
  "cpu-limit": own(parseCpu, "default: `1`"),
  "memory-request": own(parseMemory, "default: `128Mi`"),
  "memory-limit": own(parseMemory, "default: `512Mi`"),
} as const satisfies Record<string, Annotation<unknown>>;

type Table = typeof annotations;
export type Wanted = { readonly [Name in keyof Table]?: ReturnType<Table[Name]["parse"]> };

/**
 * @param given all annotations of a pod; those with another prefix are ignored
 * @param images repositories that the annotation `image` may name
 * @throws Refusal that names the annotation
 */
export function readAnnotations(given: Readonly<Record<string, string>>, images: readonly string[]): Wanted {
  const wanted: Record<string, unknown> = {};
  for (const [key, text] of Object.entries(given)) {
    if (!key.startsWith(annotationPrefix) || written.includes(key)) continue;
    const name = key.slice(annotationPrefix.length);
    wanted[name] = readOne(name, text);
  }
  const found = wanted as Wanted;
  if (found.image !== undefined && !images.includes(repositoryOf(found.image)))
    throw wrong("image", `must be a tag or digest of ${images.join(" or ")}, not ${shown(found.image)}`);
  if (found.plugins !== undefined && found["policy-config-map"] !== undefined)
    throw wrong("plugins", `contradicts ${annotationPrefix}policy-config-map: leave one of them out`);
  return found;
}

function readOne(name: string, text: string): unknown {
  if (!Object.hasOwn(annotations, name)) {
    const near = nearestName(name, Object.keys(annotations));
    const hint = near === undefined ? "remove it" : `did you mean ${annotationPrefix}${near}?`;
    throw new Refusal("annotation", `annotation ${annotationPrefix}${name.slice(0, 60)} is unknown: ${hint}`);
  }
  try {
    return annotations[name as keyof Table].parse(text);
  } catch (error) {
    if (error instanceof FormatError) throw wrong(name, error.message);
    throw error;
  }
}

/** @param problem continues the sentence, such as "must be a number" */
export function wrong(name: string, problem: string): Refusal {
  return new Refusal("annotation", `annotation ${annotationPrefix}${name} ${problem}`);
}

function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}…` : text);
}
