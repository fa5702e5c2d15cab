// Who may import what: each room of the code with all that it imports from others, types and `import()` counted. What is
// not in the table is refused, and so is a circle. `node test/support/layers.ts` is part of `npm run lint`.
import { globSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { parseSync } from "rolldown/utils";

export interface Room {
  /** Its files: those whose path begins so; the longest beginning counts. `*` is the name of one folder. */
  readonly files: string;
  /** Folders (ending in `/`) and files. */
  readonly imports: readonly string[];
  readonly packages: readonly string[];
}

const room = (files: string, imports: readonly string[] = [], packages: readonly string[] = []): Room => ({
  files,
  imports,
  packages,
});

/** From the bottom up. Only `src/registry.ts`, the command line and `src/config-keys.ts` know the plugins. */
export const rooms: readonly Room[] = [
  room("src/address-text.ts"),
  room("src/make-folder.ts"),
  room("src/nearest.ts"),
  room("src/shed-memory.ts"),
  room("src/unix-socket.ts"),
  room("src/version.ts", ["package.json"]),
  room("src/closed-addresses.ts", [], ["ipaddr.js"]),
  room("src/language/", [], ["ipaddr.js", "lru-cache", "zod"]),
  room("src/telemetry/", [], ["pino", "prom-client", "zod"]),
  room("src/redis/", ["src/address-text.ts"], ["ioredis"]),
  room(
    "src/config",
    [
      "src/address-text.ts",
      "src/config-keys.ts",
      "src/language/",
      "src/nearest.ts",
      "src/proxy/client-address.ts",
      "src/proxy/override-fields.ts",
      "src/redis/address.ts",
      "src/redis/seals.ts",
      "src/secret-hosts.ts",
    ],
    ["convict", "ipaddr.js"],
  ),
  // How the secrets look that plugins use.
  room("src/config-keys.ts", [
    "plugins/auth/assertion-key.ts",
    "plugins/auth/key-format.ts",
    "plugins/auth/session-keys.ts",
    "src/config-formats.ts",
  ]),
  room("src/start-error.ts", ["src/address-text.ts", "src/config-formats.ts"]),
  room("src/secret-hosts.ts", ["src/config-formats.ts", "src/pipeline/services.ts"]),
  room("src/descriptors.ts", ["src/config.ts", "src/telemetry/contract.ts"]),
  room("src/kept-lines.ts", ["src/make-folder.ts", "src/pipeline/contract.ts"]),
  room(
    "src/policy/",
    [
      "src/config-formats.ts",
      "src/language/",
      "src/make-folder.ts",
      "src/nearest.ts",
      "src/redis/store.ts",
      "src/redis/store-contract.ts",
    ],
    ["jose", "yaml", "zod"],
  ),
  // What a sidecar tells the fleet.
  room("src/fleet/", ["src/policy/", "src/redis/store-contract.ts"]),
  // What operators do with policies and the fleet, from a command or a console; no proxy.
  room(
    "src/plane/",
    [
      "src/fleet/",
      "src/language/",
      "src/nearest.ts",
      "src/pipeline/lint-contract.ts",
      "src/policy/",
      "src/redis/store-contract.ts",
    ],
    ["jose", "yaml", "zod"],
  ),
  room(
    "src/pipeline/",
    ["src/closed-addresses.ts", "src/redis/store-contract.ts", "src/telemetry/contract.ts"],
    ["zod"],
  ),
  room(
    "src/proxy/",
    [
      "src/closed-addresses.ts",
      "src/config-formats.ts",
      "src/language/",
      "src/pipeline/",
      "src/policy/read.ts",
      "src/policy/routes.ts",
    ],
    ["http-proxy-3", "ipaddr.js"],
  ),
  room("src/admin/", ["src/config-formats.ts", "src/telemetry/contract.ts", "src/unix-socket.ts"]),
  room(
    "plugins/*/",
    ["src/language/", "src/pipeline/contract.ts"],
    ["ipaddr.js", "jose", "lru-cache", "structured-headers", "zod"],
  ),
  room("plugins/index.ts", ["plugins/", "src/pipeline/contract.ts"]),
  room("src/registry.ts", ["plugins/index.ts", "src/pipeline/contract.ts"]),
  room("src/upstream-probe.ts", [
    "src/admin/",
    "src/config.ts",
    "src/proxy/compile-policy.ts",
    "src/telemetry/contract.ts",
  ]),
  room("src/live-secrets.ts", ["src/pipeline/services.ts", "src/redis/", "src/secret-hosts.ts"]),
  room("src/policy-in-force.ts", [
    "src/live-secrets.ts",
    "src/pipeline/services.ts",
    "src/policy/read.ts",
    "src/proxy/routed-policy.ts",
    "src/shed-memory.ts",
  ]),
  room("src/serving.ts", [
    "src/config.ts",
    "src/kept-lines.ts",
    "src/live-secrets.ts",
    "src/pipeline/",
    "src/policy-in-force.ts",
    "src/policy/read.ts",
    "src/proxy/",
    "src/redis/",
    "src/telemetry/",
  ]),
  room("src/secret-files.ts", [
    "src/config.ts",
    "src/pipeline/contract.ts",
    "src/redis/renewable-store.ts",
    "src/serving.ts",
  ]),
  room("src/sidecar", [
    "src/address-text.ts",
    "src/admin/",
    "src/config.ts",
    "src/descriptors.ts",
    "src/fleet/",
    "src/make-folder.ts",
    "src/pipeline/",
    "src/policy/",
    "src/proxy/listener.ts",
    "src/proxy/routed-policy.ts",
    "src/redis/",
    "src/registry.ts",
    "src/secret-files.ts",
    "src/serving.ts",
    "src/start-error.ts",
    "src/telemetry/",
    "src/unix-socket.ts",
    "src/upstream-probe.ts",
    "src/version.ts",
  ]),
  room(
    "src/workers/",
    [
      "src/address-text.ts",
      "src/admin/",
      "src/config.ts",
      "src/descriptors.ts",
      "src/fleet/",
      "src/pipeline/",
      "src/policy/",
      "src/proxy/routed-policy.ts",
      "src/redis/",
      "src/registry.ts",
      "src/secret-files.ts",
      "src/serving.ts",
      "src/sidecar-policy.ts",
      "src/sidecar-store.ts",
      "src/start-error.ts",
      "src/telemetry/",
      "src/unix-socket.ts",
      "src/upstream-probe.ts",
      "src/version.ts",
    ],
    ["zod"],
  ),
  room(
    "src/cli/",
    [
      "plugins/auth/",
      "plugins/cache/",
      "src/config.ts",
      "src/fleet/",
      "src/language/",
      "src/pipeline/plugin-faults.ts",
      "src/pipeline/services.ts",
      "src/plane/",
      "src/policy/",
      "src/redis/",
      "src/registry.ts",
      "src/shed-memory.ts",
      "src/sidecar.ts",
      "src/start-error.ts",
      "src/version.ts",
      "src/workers/",
    ],
    ["commander"],
  ),
  room("src/main.ts", ["src/cli/"]),
  room("deploy/", ["src/cli/run.ts", "src/sidecar.ts"], ["rolldown"]),
];

const root = join(import.meta.dirname, "../..");

/** All files that the table is about, with their text. */
export function sourceFiles(): Map<string, string> {
  const paths = globSync("{src,plugins,deploy}/**/*.ts", { cwd: root });
  return new Map(paths.map((path) => [path, readFileSync(join(root, path), "utf8")]));
}

/** What a file imports: paths from the root, names of packages, `?` for what is computed; nothing of Node's own. */
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
    .map((name) => (name.startsWith(".") ? normalize(join(dirname(path), name)) : name));
}

/** The room of a file; undefined = the table does not know it. */
export function roomOf(path: string): Room | undefined {
  const fitting = rooms.filter(({ files }) => beginning(files).test(path));
  return fitting.toSorted((a, b) => b.files.length - a.files.length)[0];
}

/** What all files of its own begin with: of a room `x/*` + `/` each folder is one. */
function beginning(files: string): RegExp {
  return new RegExp(`^${RegExp.escape(files).replaceAll(String.raw`\*`, "[^/]+")}`);
}

/** @returns what is wrong with that import; undefined = it may be */
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

/** The entry of the table that lets a room import that. */
export function allowance(from: Room, imported: string): string | undefined {
  return from.imports.find((entry) =>
    entry.endsWith("/") ? imported.startsWith(entry) : imported === entry,
  );
}

/** @returns one line for each import that may not be, and for a circle */
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
