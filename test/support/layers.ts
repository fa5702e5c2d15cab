// Checks who may import what: the table lists each room of the code with everything that it may import from others,
// including types and `import()`. Imports outside of the table are refused, and so are cycles. `node
// test/support/layers.ts` is part of `npm run lint`.
import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { parseSync } from "rolldown/utils";
import packageJson from "../../package.json" with { type: "json" };

export interface Room {
  /** Files whose path begins with this; the longest matching prefix counts. `*` is the name of one folder. */
  readonly files: string;
  /** Permitted imports: folders (ending in `/`) and files. */
  readonly imports: readonly string[];
  readonly packages: readonly string[];
}

const room = (files: string, imports: readonly string[] = [], packages: readonly string[] = []): Room => ({
  files,
  imports,
  packages,
});

/** All rooms, from the bottom up. Only `src/app/registry.ts` knows the plugins. */
export const rooms: readonly Room[] = [
  room("src/version.ts", ["package.json"]),
  room("src/language/", [], ["ipaddr.js", "lru-cache", "zod"]),
  room("src/v8/"),
  room("src/plugin-api/", ["src/language/"], ["lru-cache", "zod"]),
  room("src/files/", ["src/plugin-api/"]),
  // Certificates of clients and servers.
  room("src/tls/", ["src/language/spiffe-id.ts", "src/plugin-api/telemetry.ts"]),
  room("src/telemetry/", ["src/plugin-api/telemetry.ts"], ["pino", "prom-client", "zod"]),
  room(
    "src/redis/",
    ["src/language/", "src/plugin-api/store.ts", "src/plugin-api/within-limit.ts"],
    ["ioredis"],
  ),
  room(
    "src/config/",
    ["src/language/", "src/plugin-api/", "src/redis/address.ts", "src/redis/seals.ts", "src/tls/"],
    ["convict", "ipaddr.js"],
  ),
  // Plugins that are not built in: manifests, packages, sources of packages.
  room(
    "src/extensions/",
    [
      "src/config/formats.ts",
      "src/files/",
      "src/language/",
      "src/plugin-api/error-text.ts",
      "src/plugin-api/hook-names.ts",
      "src/plugin-api/store.ts",
      "src/plugin-api/within-limit.ts",
      "src/v8/slices.ts",
    ],
    ["semver", "zod"],
  ),
  room(
    "src/policy/",
    [
      "src/config/formats.ts",
      "src/extensions/",
      "src/files/",
      "src/language/",
      "src/plugin-api/error-text.ts",
      "src/plugin-api/store.ts",
      "src/plugin-api/within-limit.ts",
      "src/redis/store.ts",
      "src/v8/slices.ts",
    ],
    ["jose", "yaml", "zod"],
  ),
  // Kill switches: they take a plugin out of the chains, whatever the policy is.
  room(
    "src/kill-switch/",
    [
      "src/files/",
      "src/language/",
      "src/plugin-api/",
      "src/policy/signature/",
      "src/policy/sources/poller.ts",
    ],
    ["zod"],
  ),
  // Report of what a shadow candidate would have decided differently from the policy in force.
  room("src/shadow/report.ts", [], ["zod"]),
  // A canary: some sidecars or callers get the candidate before all others. Its order, its figures, its outcome.
  room(
    "src/canary/",
    [
      "src/http2/grpc.ts",
      "src/language/json.ts",
      "src/language/network.ts",
      "src/plugin-api/contract.ts",
      "src/plugin-api/store.ts",
      "src/policy/document/digest.ts",
      "src/policy/sources/",
      "src/policy/status.ts",
      "src/shadow/report.ts",
    ],
    ["lru-cache", "zod"],
  ),
  // Interception: the sidecar takes over the service's port, and finds out who bypasses it.
  room("src/intercept/", ["src/config/", "src/language/address-text.ts"], ["ipaddr.js"]),
  // Reports of a sidecar to the fleet.
  room("src/fleet/", ["src/extensions/manifest.ts", "src/plugin-api/store.ts", "src/policy/"]),
  // Operations on policies and the fleet, from a command or a console; no proxy.
  room(
    "src/plane/",
    [
      "src/canary/",
      "src/extensions/",
      "src/files/",
      "src/fleet/",
      "src/language/",
      "src/plugin-api/lint.ts",
      "src/plugin-api/pairs.ts",
      "src/kill-switch/",
      "src/plugin-api/store.ts",
      "src/policy/",
    ],
    ["jose", "semver", "yaml", "zod"],
  ),
  // Builds packages from an author's code.
  room(
    "src/plane/pack/",
    [
      "src/extensions/",
      "src/language/json.ts",
      "src/plugin-api/",
      "src/policy/document/plain-object.ts",
      "src/runtime/trusted/",
    ],
    ["rolldown", "zod"],
  ),
  room(
    "src/runtime/",
    [
      "src/extensions/",
      "src/language/",
      "src/plugin-api/",
      "src/runtime/services/",
      "src/runtime/wasm/wasm-plugin.ts",
      "src/v8/",
    ],
    ["zod"],
  ),
  // The services that a plugin uses: HTTP, cache, database, each with limits.
  room(
    "src/runtime/services/",
    [
      "src/language/",
      "src/plugin-api/",
      "src/runtime/breaker.ts",
      "src/runtime/call-trace.ts",
      "src/runtime/clock.ts",
    ],
    ["lru-cache", "pg"],
  ),
  // Filters of the proxy-wasm ABI.
  room(
    "src/runtime/wasm/",
    [
      "src/extensions/",
      "src/language/",
      "src/plugin-api/",
      "src/runtime/cpu-use.ts",
      "src/runtime/extension-definition.ts",
      "src/runtime/restarts.ts",
      "src/runtime/verdict.ts",
      "src/v8/single-executable.ts",
    ],
    ["isolated-vm"],
  ),
  // Transport of all telemetry to a collector; then traces of exchanges, and the export of their spans.
  room("src/telemetry/otlp/", ["src/plugin-api/telemetry.ts", "src/telemetry/metric-families.ts"]),
  room("src/telemetry/trace/", ["src/plugin-api/", "src/runtime/live-trace.ts", "src/telemetry/otlp/"]),
  // The latest requests, kept so that operators can ask what happened to them.
  room(
    "src/telemetry/requests/",
    ["src/language/", "src/plugin-api/", "src/runtime/hook-measures.ts", "src/runtime/live-record.ts"],
    ["zod"],
  ),
  // Records of decisions about access: their hash chain, their storage, their readers.
  room("src/audit/", ["src/files/", "src/plugin-api/", "src/runtime/live-audit.ts", "src/telemetry/otlp/"]),
  // Clients: their addresses, and limits on what each may use.
  room("src/client/", ["src/language/", "src/plugin-api/", "src/v8/"], ["ipaddr.js"]),
  // Wire formats, in both directions: without state, except for memory that is read into.
  room("src/http1/", ["src/language/", "src/plugin-api/", "src/v8/"]),
  room("src/http2/", ["src/http1/", "src/plugin-api/"]),
  room("src/upstream/", ["src/http1/", "src/http2/", "src/language/", "src/plugin-api/"]),
  // From a request's path and method to the compiled route.
  room("src/routing/", [
    "src/client/",
    "src/kill-switch/",
    "src/config/formats.ts",
    "src/http1/",
    "src/language/",
    "src/plugin-api/",
    "src/policy/document/routes.ts",
    "src/policy/document/upstreams-field.ts",
    "src/policy/read.ts",
    "src/runtime/",
    "src/upstream/",
    "src/v8/slices.ts",
  ]),
  room("src/exchange/", [
    "src/client/",
    "src/http1/",
    "src/http2/grpc.ts",
    "src/plugin-api/",
    "src/routing/",
    "src/runtime/",
    "src/upstream/transport.ts",
    "src/v8/",
  ]),
  room(
    "src/server/",
    [
      "src/client/",
      "src/exchange/",
      "src/http1/",
      "src/http2/",
      "src/language/",
      "src/plugin-api/",
      "src/routing/",
      "src/runtime/",
      "src/tls/",
      "src/v8/",
    ],
    ["http-proxy-3"],
  ),
  // A policy's own tests, run through the real path of a request, with simulated client and service.
  room("src/policy-tests/", [
    "src/client/",
    "src/config/formats.ts",
    "src/exchange/",
    "src/http1/",
    "src/kill-switch/",
    "src/language/",
    "src/plugin-api/",
    "src/policy/",
    "src/routing/",
    "src/runtime/",
    "src/telemetry/requests/",
    "src/upstream/transport.ts",
    "src/v8/",
  ]),
  // Replay of recorded requests, with the same simulation.
  room("src/policy-replay/", [
    "src/exchange/",
    "src/http1/",
    "src/language/json.ts",
    "src/plugin-api/",
    "src/policy-tests/",
    "src/policy/",
    "src/routing/",
    "src/runtime/",
    "src/upstream/transport.ts",
    "src/v8/",
  ]),
  // Ended requests run through a shadow candidate, with the same simulation.
  room("src/shadow/", [
    "src/client/",
    "src/exchange/",
    "src/extensions/",
    "src/http1/",
    "src/kill-switch/",
    "src/plugin-api/",
    "src/policy-replay/",
    "src/policy-tests/",
    "src/policy/",
    "src/routing/",
    "src/runtime/",
    "src/shadow/report.ts",
    "src/upstream/transport.ts",
  ]),
  // Checks which operations of a service a policy covers, with the same simulation.
  room("src/policy-coverage/", [
    "src/language/",
    "src/plugin-api/",
    "src/policy-replay/recorded-request.ts",
    "src/policy-tests/",
    "src/policy/",
    "src/v8/",
  ]),
  // Client of a cluster's API server.
  room("src/kubernetes/", ["src/plugin-api/error-text.ts", "src/tls/read-files.ts"], ["zod"]),
  room("src/admin/", [
    "src/client/gone.ts",
    "src/config/formats.ts",
    "src/files/",
    "src/language/address-text.ts",
    "src/plugin-api/telemetry.ts",
  ]),
  room(
    "plugins/*/",
    ["src/language/", "src/plugin-api/contract.ts"],
    ["ajv", "jose", "lru-cache", "structured-headers", "zod"],
  ),
  // The thread that checks passwords.
  room("plugins/auth/basic/bcrypt-program.ts", ["plugins/auth/basic/bcrypt-thread.ts"], ["bcryptjs"]),
  room("plugins/index.ts", ["plugins/", "src/plugin-api/contract.ts"]),
  room("src/app/registry.ts", ["plugins/index.ts", "src/plugin-api/contract.ts"]),
  // Drills: failures that a sidecar simulates.
  room(
    "src/drills/",
    ["src/plugin-api/", "src/runtime/live-record.ts", "src/upstream/transport.ts"],
    ["zod"],
  ),
  // Several processes on one port: messages between a primary and its workers.
  room(
    "src/workers/",
    [
      "src/canary/figures.ts",
      "src/config/start-error.ts",
      "src/drills/fault.ts",
      "src/plugin-api/",
      "src/policy/",
      "src/server/backlog.ts",
      "src/server/drain.ts",
      "src/shadow/report.ts",
      "src/kill-switch/",
      "src/telemetry/",
      "src/version.ts",
    ],
    ["zod"],
  ),
  // Adds sidecars to Kubernetes pods: the admission webhook, a program of its own.
  room(
    "src/injector/",
    [
      "src/admin/",
      "src/config/",
      "src/fleet/unprotected.ts",
      "src/kubernetes/",
      "src/language/",
      "src/plugin-api/telemetry.ts",
      "src/telemetry/process.ts",
      "src/tls/",
      "src/version.ts",
    ],
    ["zod"],
  ),
  // The assembly: the objects of a process, and the order in which they start.
  room("src/app/", [
    "src/audit/",
    "src/canary/",
    "src/client/client-address.ts",
    // The sidecar that first sees that a canary passed records it.
    "src/plane/canary.ts",
    "src/plane/history.ts",
    "src/plane/relay/",
    "src/http1/request-head.ts",
    "src/kill-switch/",
    "src/extensions/",
    "src/admin/",
    "src/config/",
    "src/drills/",
    "src/extensions/",
    "src/files/",
    "src/fleet/",
    "src/intercept/",
    "src/language/",
    "src/plugin-api/",
    "src/policy-coverage/",
    "src/policy-replay/",
    "src/policy-tests/",
    "src/policy/",
    "src/redis/",
    "src/routing/",
    "src/runtime/",
    "src/server/",
    "src/shadow/",
    "src/telemetry/",
    "src/tls/",
    "src/upstream/",
    "src/v8/",
    "src/version.ts",
    "src/workers/",
    "src/app/registry.ts",
  ]),
  room(
    "src/cli/",
    [
      "src/admin/ask.ts",
      "src/audit/",
      "src/canary/",
      "src/kill-switch/",
      "src/app/",
      "src/config/",
      "src/drills/",
      "src/extensions/",
      "src/files/",
      "src/fleet/",
      "src/intercept/",
      "src/injector/",
      "src/kit/ask.ts",
      "src/kit/author-tests.ts",
      "src/kit/finding.ts",
      "src/kit/init.ts",
      "src/kit/template.ts",
      "src/kubernetes/",
      "src/language/",
      "src/plane/",
      "src/plugin-api/",
      "src/policy-coverage/",
      "src/policy-replay/",
      "src/policy/",
      "src/redis/",
      "src/runtime/plugin-faults.ts",
      "src/runtime/scoped-services.ts",
      "src/shadow/report.ts",
      "src/sync/",
      "src/tls/pem.ts",
      "src/v8/",
      "src/version.ts",
    ],
    ["commander", "yaml"],
  ),
  // Policies that are declared outside of Redis: their sources and their outcome.
  room(
    "src/sync/",
    [
      "src/admin/health-listener.ts",
      "src/config/formats.ts",
      "src/config/start-error.ts",
      "src/kubernetes/",
      "src/plugin-api/error-text.ts",
      "src/plugin-api/store.ts",
      "src/plugin-api/telemetry.ts",
      "src/policy/document/digest.ts",
      "src/policy/document/parse.ts",
      "src/policy/sources/file-source.ts",
      "src/telemetry/",
    ],
    ["zod"],
  ),
  room("src/main.ts", ["src/cli/"]),
  // The test kit of plugins: no serving code imports it.
  room(
    "src/testing/",
    [
      "src/app/embedded.ts",
      "src/app/sidecar.ts",
      "src/config/config.ts",
      "src/plugin-api/",
      "src/redis/address.ts",
      "src/redis/store.ts",
      "src/runtime/",
      "src/telemetry/",
    ],
    ["zod"],
  ),
  // Tools for plugin authors: create, try and measure a plugin.
  room("src/kit/", ["package.json", "src/extensions/manifest.ts", "src/version.ts"]),
  // The process that runs an author's code: it is started by its path.
  room(
    "src/kit/process/",
    [
      "src/app/registry.ts",
      "src/extensions/",
      "src/kit/",
      "src/plane/pack/",
      "src/plugin-api/",
      "src/runtime/extension-runtimes.ts",
      "src/testing/",
    ],
    ["zod"],
  ),
  room(
    "deploy/",
    [
      "src/app/sidecar.ts",
      "src/cli/program.ts",
      "src/cli/run.ts",
      "src/v8/single-executable.ts",
      "src/version.ts",
    ],
    ["commander", "rolldown"],
  ),
];

const root = join(import.meta.dirname, "../..");

/** This package's files, by their names in its `exports`. */
const surface = new Map(
  Object.entries(packageJson.exports).map(([name, file]) => [
    normalize(join(packageJson.name, name)),
    normalize(file),
  ]),
);

/** @returns all files that the table covers, with their text */
export function sourceFiles(): Map<string, string> {
  const paths = globSync("{src,plugins,deploy}/**/*.ts", { cwd: root });
  return new Map(paths.map((path) => [path, readFileSync(join(root, path), "utf8")]));
}

/**
 * Finds a file's imports: paths from the root, names of packages, `?` for a computed specifier; without Node's own
 * modules.
 */
export function importsOf(path: string, text: string): string[] {
  const found: string[] = [];
  const visit = (node: unknown): void => {
    if (Array.isArray(node)) return node.forEach(visit);
    if (typeof node !== "object" || node === null) return;
    const { type, source } = node as { type?: unknown; source?: { type?: unknown; value?: unknown } | null };
    const isImport = typeof type === "string" && /^(Import|Export|TSImport)/.test(type);
    if (isImport && source) found.push(typeof source.value === "string" ? source.value : "?");
    Object.values(node).forEach(visit);
  };
  const { program, errors } = parseSync(path, text);
  if (errors.length > 0) throw new Error(`${path}: ${errors[0]?.message}`);
  visit(program);
  return found
    .filter((name) => !name.startsWith("node:"))
    .map((name) => surface.get(name) ?? (name.startsWith(".") ? normalize(join(dirname(path), name)) : name));
}

/** @returns the room of a file; undefined = the table does not know it */
export function roomOf(path: string): Room | undefined {
  const fitting = rooms.filter(({ files }) => beginning(files).test(path));
  return fitting.toSorted((a, b) => b.files.length - a.files.length)[0];
}

/** The common prefix of a room's files. In a room `x/*` + `/` each folder is a room of its own. */
function beginning(files: string): RegExp {
  return new RegExp(`^${RegExp.escape(files).replaceAll(String.raw`\*`, "[^/]+")}`);
}

/** @returns what is wrong with the import; undefined = it is allowed */
export function violation(path: string, imported: string): string | undefined {
  const from = roomOf(path);
  if (from === undefined) return `${path} is in no room of test/support/layers.ts`;
  if (imported === "?") return `${path} imports what is computed`;
  if (!/^(\.\.|src|plugins|deploy|test|package\.json$)/.test(imported)) {
    const packageName = imported.split("/", imported.startsWith("@") ? 2 : 1).join("/");
    return from.packages.includes(packageName)
      ? undefined
      : `${path} may not import the package ${packageName}`;
  }
  const own = beginning(from.files).exec(path)?.[0] ?? "";
  if (imported.startsWith(own) && roomOf(imported) === from) return undefined;
  return allowance(from, imported) === undefined ? `${path} may not import ${imported}` : undefined;
}

/** Finds the entry of the table that allows this room to import the file or package. */
export function allowance(from: Room, imported: string): string | undefined {
  return from.imports.find((entry) =>
    entry.endsWith("/") ? imported.startsWith(entry) : imported === entry,
  );
}

/** @returns one line for each forbidden import, and for each cycle */
export function layerProblems(files: ReadonlyMap<string, string>): string[] {
  const graph = new Map([...files].map(([path, text]) => [path, importsOf(path, text)]));
  const problems: string[] = [];
  for (const [path, imports] of graph) {
    for (const imported of new Set(imports)) {
      const problem = violation(path, imported);
      if (problem !== undefined) problems.push(problem);
    }
  }
  return [...problems, ...circles(graph)];
}

function circles(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const found: string[] = [];
  const done = new Set<string>();
  const walk = (path: string, above: readonly string[]): void => {
    const start = above.indexOf(path);
    if (start !== -1) found.push(`a circle: ${[...above.slice(start), path].join(" -> ")}`);
    if (start !== -1 || done.has(path)) return;
    for (const next of graph.get(path) ?? []) walk(next, [...above, path]);
    done.add(path);
  };
  for (const path of graph.keys()) walk(path, []);
  return found;
}

if (import.meta.main) {
  const problems = layerProblems(sourceFiles());
  for (const problem of problems) console.error(problem);
  if (problems.length > 0) process.exitCode = 1;
}
