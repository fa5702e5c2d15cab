// Assembles the policy controller: which source it reads, what it keeps on disk, and what log and metrics report of it.
import type { SiblingTls } from "../admin/siblings.ts";
import type { CheckDisk } from "../files/check-disk.ts";
import { extname } from "node:path";
import type { Config } from "../config/config.ts";
import type { PackageStore } from "../extensions/package-store.ts";
import { folderTrouble } from "../files/make-folder.ts";
import { withDirectReports } from "../fleet/direct-report.ts";
import type { HeartbeatOptions } from "../fleet/heartbeat.ts";
import type { Clock, PluginDefinition } from "../plugin-api/contract.ts";
import { createFileSource, readPolicyFile } from "../policy/sources/file-source.ts";
import { createLastKnownGood, type LastKnownGood } from "../policy/sources/last-known-good.ts";
import type { PolicyEvents } from "../policy/events.ts";
import {
  createPolicyController,
  type PolicyController,
  type PolicyControllerOptions,
} from "../policy/controller.ts";
import { type Problem, problemText } from "../policy/document/problems.ts";
import { createPolicyReader, createTrust, type PolicyReader } from "../policy/read.ts";
import type { FindPackages } from "../policy/extensions/resolve.ts";
import { createThreadedReader } from "../policy/reading-thread.ts";
import { createRedisSource } from "../policy/sources/redis-source.ts";
import type { PolicySource } from "../policy/sources/source.ts";
import type { PolicyStatus, SignatureStatus } from "../policy/status.ts";
import type { RedisStore } from "../redis/store.ts";
import type { Telemetry } from "../telemetry/process.ts";
import { isSingleExecutable, partText } from "../v8/single-executable.ts";
import { version } from "../version.ts";
import { type Audit, auditedEvents } from "./audit.ts";
import { peersOf } from "./policy-peers.ts";
import { registry as builtIn } from "./registry.ts";

export interface ControllerParts<Snapshot> extends Pick<
  PolicyControllerOptions<Snapshot>,
  "onTrust" | "test" | "compile" | "swap" | "release"
> {
  readonly store: RedisStore | undefined;
  readonly packages: PackageStore;
  readonly clock: Clock;
  readonly audit: Pick<Audit, "change">;
  readonly adminToken: () => string | undefined;
  /** TLS identity of siblings; absent = siblings are recognised by the token. */
  readonly siblings?: (() => SiblingTls) | undefined;
  readonly onRejected: () => void;
  readonly checkDisk?: CheckDisk | undefined;
}

/** The thread's program, in the form of this file: TypeScript source, compiled, or inside the single executable. */
const threadProgram = isSingleExecutable
  ? () => partText("policy-thread.cjs")
  : new URL(`policy-thread${extname(import.meta.url)}`, import.meta.url);

/** Creates the reader of policies for this sidecar's settings. Rejects when a key cannot be used. */
export async function createReader(
  { service, upstream: ownUpstream, upstreamAllow, policyKeys: keys, policyMaxBytes: maxBytes }: Config,
  registry: readonly PluginDefinition[],
  store: PackageStore,
): Promise<PolicyReader> {
  const plugins = Object.fromEntries(registry.map((plugin) => [plugin.name, plugin]));
  const packages: FindPackages = (entries, signal) => store.packages(entries, signal);
  const options = { service, ownUpstream, upstreamAllow, keys, maxBytes, packages };
  const here = await createPolicyReader({ plugins, ...options });
  // The thread knows only the built-in plugins.
  const isBuiltIn =
    registry.length === builtIn.length && registry.every((plugin, at) => plugin === builtIn[at]);
  return isBuiltIn ? createThreadedReader({ ...options, here, program: threadProgram }) : here;
}

/**
 * Chooses the policy's source by the settings, in the order of the contract: Redis, else the file, else the built-in
 * policy.
 */
export async function createController<Snapshot>(
  config: Config,
  telemetry: Telemetry,
  registry: readonly PluginDefinition[],
  parts: ControllerParts<Snapshot>,
): Promise<PolicyController> {
  const { policyFile, policyMaxBytes: maxBytes, stateDir, policyKeys } = config;
  const { logger } = telemetry;
  const { store, clock } = parts;
  const read = await createReader(config, registry, parts.packages);
  const trust = policyKeys && (await createTrust(policyKeys));
  const file = policyFile === undefined ? undefined : { path: policyFile, maxBytes };
  const source = store ? redisSource(config, store, trust !== undefined) : file && createFileSource(file);
  const named = namer(config);
  if (source === undefined) {
    logger.warn({}, "neither REDIS_URL nor OUTRIGGER_POLICY_FILE is set: the built-in policy is used");
  }
  if (stateDir !== undefined) void tellStateDir(stateDir, logger);
  const controller: PolicyController = createPolicyController({
    read,
    trust,
    onTrust: parts.onTrust,
    lastKnownGood: lastKnownGoodOf(config, logger, parts.checkDisk),
    source,
    peers: peersOf(config, parts.adminToken, parts.siblings),
    baseline: store && file && (() => readPolicyFile(file.path, maxBytes)),
    test: parts.test,
    compile: parts.compile,
    swap: parts.swap,
    release: parts.release,
    clock,
    events: auditedEvents(
      parts.audit,
      policyEvents(telemetry, clock, {
        named,
        status: (): PolicyStatus => controller.status(),
        onRejected: parts.onRejected,
        sourceTrouble: (state, message, ready) => sourceTrouble(config, state, message, ready),
      }),
    ),
  });
  if (trust !== undefined && store !== undefined && stateDir === undefined) logger.warn({}, forgetful);
  return withNames(controller, named);
}

function redisSource(config: Config, store: RedisStore, signed: boolean): PolicySource {
  const { service, instance, keyPrefix, policyMaxBytes: maxBytes } = config;
  const source = createRedisSource({ store, service, keyPrefix, maxBytes, signed });
  return withDirectReports(source, { store, service, instance, keyPrefix });
}

function lastKnownGoodOf(
  { stateDir: dir, service, policyMaxBytes: maxBytes }: Config,
  logger: Telemetry["logger"],
  checkDisk: CheckDisk | undefined,
): LastKnownGood | undefined {
  if (dir === undefined) return undefined;
  const onTrouble = (message: string): void => logger.warn({}, message);
  return createLastKnownGood({ dir, service, maxBytes, onTrouble, checkDisk });
}

const forgetful =
  "OUTRIGGER_POLICY_KEYS without OUTRIGGER_STATE_DIR: after a restart any policy that was signed counts again until its end";

/** Wraps the controller, so that problems show the names by which the operator knows the documents. */
function withNames(controller: PolicyController, named: Named): PolicyController {
  return {
    recall: () => controller.recall(),
    start: () => controller.start(),
    stop: () => controller.stop(),
    signed: () => controller.signed(),
    beside: (place, document) => controller.beside(place, document),
    get ready() {
      return controller.ready;
    },
    status() {
      const status = controller.status();
      const { lastError, overruled } = status;
      return {
        ...status,
        overruled: named(overruled),
        lastError: lastError && { ...lastError, problems: named(lastError.problems) },
      };
    },
  };
}

async function tellStateDir(dir: string, logger: Telemetry["logger"]): Promise<void> {
  const reason = await folderTrouble(dir);
  if (reason === undefined) return;
  logger.error({ reason }, `OUTRIGGER_STATE_DIR: ${dir} cannot be written: no policy is saved for a restart`);
}

type Named = (problems: readonly Problem[]) => readonly Problem[];

/** @returns a function that names each problem's document as the operator does: by the Redis key, or the file */
function namer({ redis, keyPrefix, policyFile }: Config): Named {
  const nameOf = (document: string): string =>
    redis === undefined ? (policyFile ?? document) : `${keyPrefix}${document}`;
  return (problems) =>
    problems.map((problem) =>
      problem.document === undefined ? problem : { ...problem, document: nameOf(problem.document) },
    );
}

/** One line that says what is wrong with the source, and what follows from it. */
function sourceTrouble(
  { redis, policyFile, peers, stateDir }: Config,
  state: "absent" | "failed",
  message: string,
  ready: boolean,
): string {
  const what = redis === undefined ? `OUTRIGGER_POLICY_FILE: ${message}` : message;
  if (ready) return `${what}; the policy in force goes on`;
  const instead = [
    ...(stateDir === undefined ? [] : ["OUTRIGGER_STATE_DIR"]),
    ...(peers === undefined ? [] : ["OUTRIGGER_PEERS"]),
    ...(redis === undefined || policyFile === undefined ? [] : ["OUTRIGGER_POLICY_FILE"]),
  ];
  const until = state === "failed" ? "it can be" : redis === undefined ? "it does" : "it has one";
  return `${what}; not ready until ${until}${instead.length === 0 ? "" : `, unless ${instead.join(" or ")} has one`}`;
}

/** When the first signature ends, in seconds since 1970; 0 = never. */
function firstEnd(signatures: readonly SignatureStatus[]): number {
  const ends = signatures.flatMap(({ expiresAt }) => (expiresAt === null ? [] : Date.parse(expiresAt)));
  return ends.length === 0 ? 0 : Math.min(...ends) / 1000;
}

interface EventParts {
  readonly named: Named;
  readonly status: () => PolicyStatus;
  readonly onRejected: () => void;
  readonly sourceTrouble: (state: "absent" | "failed", message: string, ready: boolean) => string;
}

function policyMetrics({ metrics }: Telemetry) {
  return {
    revision: metrics.gauge(
      "outrigger_policy_revision",
      "Revision of the shared policy in force, as the history has it, else this sidecar's own count",
    )(),
    layerRevision: metrics.gauge(
      "outrigger_policy_layer_revision",
      "Revision of the service's layer in force, as the history has it; 0 = none, or not known there",
    )(),
    age: metrics.gauge("outrigger_policy_age_seconds", "Since the source last held the policy in force")(),
    expiry: metrics.gauge(
      "outrigger_policy_signature_expiry_timestamp_seconds",
      "When the first signature of the policy in force is over; 0 = never",
    )(),
    rejected: metrics.counter("outrigger_policy_rejected_total", "Policies that were refused")(),
    overruled: metrics.gauge(
      "outrigger_policy_overruled",
      "Parts of the service's layer that do not fit the shared policy and are not in force",
    )(),
  };
}

function policyEvents(telemetry: Telemetry, clock: Clock, parts: EventParts): PolicyEvents {
  const { logger } = telemetry;
  const { named, onRejected } = parts;
  const counted = policyMetrics(telemetry);
  let told = "";
  let confirmedAt: number | undefined;
  telemetry.metrics.onRender(() => {
    const { revision, layerRevision } = parts.status();
    counted.revision.set(revision);
    counted.layerRevision.set(layerRevision ?? 0);
    counted.age.set(confirmedAt === undefined ? 0 : (clock.now() - confirmedAt) / 1000);
  });
  return {
    onAccepted(meta, changed, overruled) {
      confirmedAt = clock.now();
      counted.overruled.set(overruled.length);
      counted.expiry.set(firstEnd(parts.status().signatures));
      if (changed) logger.info({ ...meta }, "policy in force");
      const problems = named(overruled).map(problemText);
      if (problems.length > 0 && problems.join() !== told) {
        logger.error(
          { problems },
          "the service's layer does not fit the shared policy: in force without these parts of it",
        );
      }
      told = problems.join();
    },
    onConfirmed() {
      confirmedAt = clock.now();
    },
    onRejected(problems) {
      counted.rejected.inc();
      const stays = confirmedAt === undefined ? "none is in force" : "the one in force stays";
      logger.error({ problems: named(problems).map(problemText) }, `policy refused; ${stays}`);
      onRejected();
    },
    onNotice(problems) {
      logger.error({ problems: named(problems).map(problemText) }, "the policy in force needs attention");
    },
    onSourceState(state, message) {
      if (state === "read") logger.info({}, "the policy can be read");
      else logger.warn({ state }, parts.sourceTrouble(state, message ?? "", confirmedAt !== undefined));
    },
  };
}

/** The constant facts about this sidecar that the fleet is told. */
export function factsOf({
  service,
  instance,
  region,
}: Config): Pick<HeartbeatOptions, "service" | "instance" | "region" | "version"> {
  return { service, instance, region, version };
}
