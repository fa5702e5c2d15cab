// The messages between the primary and its workers. Each is validated on arrival.
import { z } from "zod";
import { maxDrillMs } from "../drills/fault.ts";
import { killSwitch, maxSwitches } from "../kill-switch/kill-switch.ts";
import type { Problem } from "../policy/document/problems.ts";
import { maxKeySets } from "../policy/signature/key-sets.ts";
import { shadowReport } from "../shadow/report.ts";
import { tapRequest } from "../telemetry/requests/tap-request.ts";
import { metricsSnapshot } from "../telemetry/metrics.ts";

const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array);
const id = z.int().min(1);

/** The documents as their source has them: every worker parses, checks and compiles them itself. */
const raw = z.strictObject({
  shared: bytes,
  layer: bytes.or(z.undefined()),
  format: z.enum(["json", "yaml", "any"]),
  keySets: z.array(bytes).readonly().exactOptional(),
  standing: z.boolean().exactOptional(),
});

const keySets = z.array(bytes).max(maxKeySets);

const problem = z.strictObject({
  path: z.string(),
  message: z.string(),
  document: z.string().exactOptional(),
  line: z.number().exactOptional(),
  column: z.number().exactOptional(),
}) satisfies z.ZodType<Problem>;

const address = z.union([
  z.string(),
  z.strictObject({ address: z.string(), family: z.string(), port: z.int() }),
]);

/** Counts collected while a candidate is tried. */
const figures = z.array(z.number()).max(1_000).readonly();
const trialReport = z.strictObject({
  id: z.string(),
  candidate: figures,
  baseline: figures,
  refused: z.string().or(z.undefined()),
  held: z.boolean(),
  shadow: shadowReport.or(z.undefined()).exactOptional(),
});
/** A candidate that is tried beside the policy in force; without documents, only the policy in force is counted. */
const trial = z.strictObject({
  wish: z.strictObject({
    id: z.string(),
    percent: z.number(),
    version: z.int(),
    judged: z.boolean(),
    shadow: z.boolean().exactOptional(),
  }),
  raw: raw.or(z.undefined()),
});

/** The fault to simulate, and for how long from now. */
const drill = z.strictObject({ fault: z.string().max(100), forMs: z.int().min(1).max(maxDrillMs) });

const switches = z.array(killSwitch).max(maxSwitches);

const toWorker = z.discriminatedUnion("type", [
  z.strictObject({
    type: z.literal("welcome"),
    /** From 1; a replacement worker gets the same number. */
    number: z.int().min(1),
    level: z.string(),
    fleetSize: z.int().min(1),
    draining: z.boolean(),
    switches,
    keySets,
    trial: trial.or(z.undefined()),
    drill: drill.or(z.undefined()),
  }),
  /** Set this policy up and report the result; a prepared policy that was not committed is aborted. */
  z.strictObject({ type: z.literal("prepare"), id, raw }),
  /** Put the prepared policy in force. */
  z.strictObject({ type: z.literal("commit"), id }),
  z.strictObject({ type: z.literal("abort"), id }),
  /** Start listening; sent once. */
  z.strictObject({ type: z.literal("serve") }),
  z.strictObject({ type: z.literal("level"), level: z.string() }),
  /** The number of live workers in all sidecars of the service. */
  z.strictObject({ type: z.literal("fleet"), size: z.int().min(1) }),
  /** The kill switches in force. */
  z.strictObject({ type: z.literal("disabled"), switches }),
  /** The trusted key documents, whatever policy is in force. */
  z.strictObject({ type: z.literal("trust"), keySets }),
  z.strictObject({ type: z.literal("trial"), trial: trial.or(z.undefined()) }),
  /** undefined = the drill is over. */
  z.strictObject({ type: z.literal("drill"), drill: drill.or(z.undefined()) }),
  z.strictObject({ type: z.literal("drain") }),
  /** Drain within the configured limit and exit. */
  z.strictObject({ type: z.literal("stop") }),
  /** The shared socket is closed and its connections are handed out; or it stays open, and other workers take them. */
  z.strictObject({ type: z.literal("closed") }),
  z.strictObject({ type: z.literal("metrics?"), id }),
  z.strictObject({ type: z.literal("document?"), id, path: z.string() }),
  z.strictObject({ type: z.literal("plugins?"), id }),
  /** Start a tap on exchanges, which ends with `untap` or when its time is over. */
  z.strictObject({ type: z.literal("tap"), id, request: tapRequest }),
  z.strictObject({ type: z.literal("untap"), id }),
  /** Report what is known of finished requests. */
  z.strictObject({ type: z.literal("requests?"), id, requestId: z.string().max(128) }),
  /** The response to a plugin's request; `error` if there is none. */
  z.strictObject({
    type: z.literal("response"),
    id,
    response: z.unknown(),
    error: z.string().or(z.undefined()),
  }),
]);

const toPrimary = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("hello"), version: z.string() }),
  /** The worker takes policies. */
  z.strictObject({ type: z.literal("ready") }),
  z.strictObject({ type: z.literal("prepared"), id, problems: z.array(problem).max(200) }),
  z.strictObject({ type: z.literal("inForce"), id }),
  z.strictObject({ type: z.literal("serving"), addresses: z.array(address) }),
  /** The worker cannot serve, and exits. */
  z.strictObject({ type: z.literal("failed"), message: z.string() }),
  /** Sent every second: shows that its event loop runs. */
  z.strictObject({
    type: z.literal("state"),
    inFlight: z.int().min(0),
    /** Problems that plugins report, by plugin name. */
    troubles: z.array(z.tuple([z.string(), z.string()])),
    trial: trialReport.or(z.undefined()),
  }),
  /** The worker drains and expects no more connections, or time for that is over: the shared socket may be closed. */
  z.strictObject({ type: z.literal("closing") }),
  /** The response to `metrics?`; with id 0, the worker's last one before it exits. */
  z.strictObject({ type: z.literal("metrics"), id: z.int().min(0), snapshot: metricsSnapshot }),
  z.strictObject({ type: z.literal("document"), id, body: z.string().or(z.undefined()) }),
  /** The state of the worker's plugins. */
  z.strictObject({ type: z.literal("plugins"), id, reports: z.array(z.unknown()).max(1_000) }),
  /** An exchange for a running tap, as JSON. */
  z.strictObject({ type: z.literal("tapped"), id, event: z.string().max(65_536), dropped: z.int().min(0) }),
  z.strictObject({ type: z.literal("requests"), id, found: z.array(z.unknown()).max(1_000) }),
  /** From a plugin to its shared state in the primary. */
  z.strictObject({ type: z.literal("request"), id, plugin: z.string(), request: z.unknown() }),
]);

export type ToWorker = z.output<typeof toWorker>;
/** The state that every worker is told; a new worker gets it with its welcome. */
export type ToldToAll = Pick<
  Extract<ToWorker, { type: "welcome" }>,
  "fleetSize" | "draining" | "switches" | "keySets" | "trial" | "drill"
>;
/** Where a worker listens. */
export type Addresses = readonly z.output<typeof address>[];

export type ToPrimary = z.output<typeof toPrimary>;

/** The counts of a candidate in one worker. */
export type WorkerTrial = z.output<typeof trialReport>;

/** How often a worker reports its state. */
export const stateEveryMs = 1_000;

/** @throws ZodError if it is no message of the primary */
export function parseToWorker(message: unknown): ToWorker {
  return toWorker.parse(message);
}

/** @throws ZodError if it is no message of a worker */
export function parseToPrimary(message: unknown): ToPrimary {
  return toPrimary.parse(message);
}
