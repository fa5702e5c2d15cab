// Runs `outrigger sync`: puts the policies of a cluster (OutriggerPolicy objects, ConfigMaps) or of a folder into Redis
// and keeps them there.
import { randomUUID } from "node:crypto";
import { ConfigError } from "../config/config.ts";
import { ApiProblem, clusterIn, KubernetesApi, namespaceOf, NoCluster } from "../kubernetes/api.ts";
import { parseDuration } from "../language/duration.ts";
import type { WhenGone } from "../sync/declared.ts";
import { FolderSource } from "../sync/folder-source.ts";
import { KubernetesSource } from "../sync/kubernetes-source.ts";
import { Lease } from "../sync/lease.ts";
import { onePass } from "../sync/loop.ts";
import type { Outcome } from "../sync/outcome.ts";
import { Reconciler } from "../sync/reconcile.ts";
import { runSync } from "../sync/service.ts";
import type { DeclaredSource } from "../sync/source.ts";
import type { SigningWish } from "./signing-options.ts";
import { PlanePlace } from "./sync-place.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { untilSignal } from "./until-signal.ts";
import { type Plane, PlaneRefusal, withPlane } from "./with-plane.ts";

export interface SyncOptions {
  readonly from?: string;
  readonly once?: true;
  readonly namespace?: string;
  readonly serviceAccount?: string;
  readonly every: string;
  readonly key?: string;
  readonly strict?: true;
  readonly selfHeal?: true;
  readonly onDelete: WhenGone;
  readonly author?: string;
  readonly json?: true;
}

interface Wanted {
  readonly everyMs: number;
  readonly wish: SigningWish | undefined;
}

const minEveryMs = 1_000;

/**
 * @param stop ends the sync; default: SIGTERM and SIGINT
 * @returns the exit code; with --once, 1 when not everything declared is in force
 */
export async function syncPolicies(
  terminal: Terminal,
  options: SyncOptions,
  stop?: AbortSignal,
): Promise<number> {
  if (stop === undefined)
    return await untilSignal(["SIGTERM", "SIGINT"], (signal) => syncPolicies(terminal, options, signal));
  const wanted = parseSync(options);
  if (typeof wanted === "string") {
    terminal.err(`${wanted}\n`);
    return 2;
  }
  const author = options.author ?? terminal.env["OUTRIGGER_AUTHOR"] ?? "outrigger sync";
  return await withPlane(terminal, { author }, async (plane) => {
    const { everyMs, wish } = wanted;
    const source = sourceFor(terminal, options, plane, everyMs);
    const place = new PlanePlace(terminal, plane, { wish, strict: options.strict === true });
    if (options.once) return await syncOnce({ terminal, options, plane, source, place }, stop);
    const { admin: listen, instance, adminToken: token, logLevel, logFormat } = plane.config;
    await runSync(
      {
        source,
        place,
        store: plane.store,
        everyMs,
        listen,
        token,
        instance,
        logLevel,
        logFormat,
        selfHeal: options.selfHeal === true,
        out: (text) => terminal.out(text),
      },
      stop,
    );
    return 0;
  });
}

/** @returns the parsed options; a text = what is wrong with them */
function parseSync({ from, namespace, serviceAccount, every, key }: SyncOptions): Wanted | string {
  if (from !== undefined && (namespace ?? serviceAccount) !== undefined)
    return "--from is a folder: --namespace and --service-account are of a cluster";
  if (namespace !== undefined && !/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(namespace))
    return "--namespace takes the name of one namespace";
  const everyMs = parseDuration(every);
  if (everyMs === undefined || everyMs < minEveryMs) return "--every takes a time from 1s, such as 30s";
  const wish = key === undefined ? undefined : { keyFile: key, lifetimeMs: undefined, epoch: undefined };
  return { everyMs, wish };
}

/** @throws ConfigError when there is no cluster, PlaneRefusal when it tells no namespace */
function sourceFor(
  terminal: Terminal,
  options: SyncOptions,
  { config }: Plane,
  everyMs: number,
): DeclaredSource {
  const { from: path, once = false, onDelete: whenGone } = options;
  if (path !== undefined)
    return new FolderSource({ path, maxBytes: config.policyMaxBytes, whenGone, everyMs, once });
  try {
    const cluster = clusterIn(terminal.env, options.serviceAccount);
    const namespace = options.namespace ?? namespaceOf(cluster);
    return new KubernetesSource({ api: new KubernetesApi(cluster), namespace, whenGone, once });
  } catch (error) {
    if (!(error instanceof ApiProblem)) throw error;
    const said = `${error.message}, or give a folder with --from`;
    throw error instanceof NoCluster ? new ConfigError([said]) : new PlaneRefusal(said);
  }
}

interface Once {
  readonly terminal: Terminal;
  readonly options: SyncOptions;
  readonly plane: Plane;
  readonly source: DeclaredSource;
  readonly place: PlanePlace;
}

async function syncOnce(
  { terminal, options, plane, source, place }: Once,
  stop: AbortSignal,
): Promise<number> {
  const lease = new Lease(plane.store, `${plane.config.instance}/${randomUUID()}/once`);
  if (!(await lease.take()))
    throw new PlaneRefusal(
      `another sync writes (${lease.other}): nothing is changed; stop it, or leave it to that`,
    );
  const end = new AbortController();
  const kept = lease.keep(end.signal);
  let problem: string | undefined;
  try {
    const tell = { applied: () => {}, gone: () => {} };
    const reconciler = new Reconciler({
      place,
      selfHeal: options.selfHeal === true,
      mayWrite: () => lease.isHeld,
      tell,
    });
    const onPass = (_: unknown, why: string | undefined): void => void (problem = why);
    const outcomes = await onePass({ source, reconciler, onPass }, stop);
    if (outcomes !== undefined || options.json) printOutcomes(terminal, options, outcomes ?? []);
    if (problem !== undefined) terminal.err(`${printable(problem)}\n`);
    const { ok, detail = "" } = source.state;
    if (ok && options.json === undefined) terminal.err(`${printable(`${source.name}: ${detail}`)}\n`);
    const isDone = outcomes?.every(({ state }) => state === "in-force") ?? false;
    return isDone && problem === undefined ? 0 : 1;
  } finally {
    end.abort();
    await kept;
    await lease.giveUp();
  }
}

function printOutcomes(terminal: Terminal, { json }: SyncOptions, outcomes: readonly Outcome[]): void {
  if (json) {
    const documents = outcomes.map(({ declared: { origin, service }, ...rest }) => {
      return { origin, service: service ?? null, ...rest };
    });
    terminal.out(`${JSON.stringify({ documents }, null, 2)}\n`);
    return;
  }
  for (const { declared, state, message, problems, warnings = [] } of outcomes) {
    for (const warning of warnings) terminal.err(`${printable(`${declared.origin}: ${warning}`)}\n`);
    const line = printable(`${declared.origin}: ${message}`);
    if (state === "in-force") terminal.out(`${line}\n`);
    else terminal.err(`${line}\n`);
    for (const { path, message: text } of problems.slice(1))
      terminal.err(`${printable(`${declared.origin}: ${path}${path === "" ? "" : ": "}${text}`)}\n`);
  }
  if (outcomes.length === 0) terminal.err("nothing is declared: what is in force stays\n");
}
