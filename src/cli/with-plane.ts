// Opens the policies in Redis, with their history, for one command, and reports errors in one line.
import { hostname, userInfo } from "node:os";
import { loadConfig } from "../app/environment.ts";
import type { Config } from "../config/config.ts";
import { StartError } from "../config/start-error.ts";
import { type Canary, Canaries, CanaryRuns } from "../plane/canary.ts";
import { ChangeConflict, OutcomeUnknown, PolicyHistory, StaleEpoch } from "../plane/history.ts";
import { KeyFileRefusal } from "../plane/private-key.ts";
import type { Head } from "../plane/revision.ts";
import { PolicyRefused, problemText } from "../policy/document/problems.ts";
import { layerKey, sharedKey } from "../policy/read.ts";
import type { RedisStore } from "../redis/store.ts";
import { StoreUnavailable } from "../plugin-api/store.ts";
import { wrongKeys } from "../plane/wrong-keys.ts";
import { PolicyPackages } from "./policy-packages.ts";
import { EpochRefusal } from "./signing-options.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { whereRights } from "../redis/failure.ts";
import { withStore } from "./with-store.ts";

export interface Plane {
  readonly config: Config;
  readonly store: RedisStore;
  readonly history: PolicyHistory;
  readonly canaries: Canaries;
  /** Packages of the extensions that policies name. */
  readonly packages: PolicyPackages;
  /** The user who runs the command, for the history. */
  readonly author: string;
}

/** The command cannot do what it was asked for; the message says why, in one line. */
export class PlaneRefusal extends Error {
  override readonly name = "PlaneRefusal";
}

const advice: Readonly<Record<string, string>> = {
  NOPERM: whereRights,
  READONLY: "it is a read-only replica: name the master in REDIS_URL",
  OOM: "it is full: see maxmemory",
};

/**
 * Throws ConfigError.
 * @param work does the command's part and resolves with the exit code
 * @returns the exit code of `work`; 1 when Redis cannot be reached or the command is refused, 2 without REDIS_URL
 */
export async function withPlane(
  terminal: Terminal,
  options: { readonly author?: string; readonly service?: string },
  work: (plane: Plane) => Promise<number>,
): Promise<number> {
  // Passed as a setting, so that the service's name is checked like one.
  const config = loadConfig({
    ...terminal.env,
    ...(options.service === undefined ? {} : { OUTRIGGER_SERVICE: options.service }),
    ...(options.author === undefined ? {} : { OUTRIGGER_AUTHOR: options.author }),
  });
  const use = { name: "policy", because: "policies that can be changed by commands are in Redis" };
  return await withStore(terminal, config, use, async (store) => {
    try {
      const author = config.author ?? whoever();
      const history = new PolicyHistory(store, config.keyPrefix);
      const packages = new PolicyPackages(config, store);
      const canaries = new Canaries(store, history, config.keyPrefix, config.policyMaxBytes);
      return await work({ config, store, history, canaries, packages, author });
    } catch (error) {
      const lines = linesOf(error) ?? (await linesOfKeys(error, store, config.keyPrefix, options.service));
      if (lines === undefined) throw error;
      for (const line of lines) terminal.err(`${printable(line)}\n`);
      return 1;
    }
  });
}

/** The lines that report an error; undefined = the caller must handle it. */
export function linesOf(error: unknown): readonly string[] | undefined {
  if (
    error instanceof PlaneRefusal ||
    error instanceof KeyFileRefusal ||
    error instanceof EpochRefusal ||
    error instanceof StartError ||
    error instanceof StaleEpoch
  )
    return [error.message];
  if (error instanceof PolicyRefused) return error.problems.map(problemText);
  if (error instanceof ChangeConflict) return [`${headText(error.head)}: look at that, and apply again`];
  if (error instanceof CanaryRuns) return [canaryText(error.canary)];
  if (error instanceof OutcomeUnknown)
    return [`the connection to Redis was lost: "outrigger policy history" says whether the change was made`];
  if (!(error instanceof StoreUnavailable) || error.code === undefined) return undefined;
  const hint = advice[error.code];
  // The message begins with the command, which is often that of a script.
  const answer = error.message.slice(Math.max(0, error.message.indexOf(error.code)));
  return hint === undefined ? undefined : [`REDIS_URL: Redis answers ${answer}: ${hint}`];
}

/** Names keys of a wrong type among those that nearly every command reads. */
async function linesOfKeys(
  error: unknown,
  store: RedisStore,
  keyPrefix: string,
  service: string | undefined,
): Promise<readonly string[] | undefined> {
  if (!(error instanceof StoreUnavailable) || error.code !== "WRONGTYPE") return undefined;
  const lines = await wrongKeys(store, keyPrefix, service);
  return lines.length === 0 ? undefined : lines;
}

/** Who changed the policy, and when. */
function headText(head: Head | undefined): string {
  if (head === undefined) return "the policy has changed meanwhile";
  const reason = head.reason === "" ? "" : ` (${head.reason})`;
  return `the policy has changed meanwhile: revision ${head.revision} by ${head.author} at ${head.at}${reason}`;
}

/** Who runs the canary, and how to end it. */
function canaryText(canary: Canary | undefined): string {
  if (canary === undefined) return "another canary or shadow runs: look at outrigger fleet";
  const { order, state } = canary;
  const since = new Date(state.startedAt).toISOString();
  const reason = order.reason === "" ? "" : ` (${order.reason})`;
  const what = order.by === "shadow" ? "shadow" : "canary";
  return `a ${what} of ${documentName(order.service ?? undefined)} runs, by ${order.author} since ${since}${reason}: outrigger policy promote or abort ends it`;
}

function whoever(): string {
  let user = "unknown";
  try {
    user = userInfo().username;
  } catch {
    // The user of a container often has no name.
  }
  return `${user}@${hostname()}`.slice(0, 200);
}

/** The document's name in messages: its key without the prefix. */
export const documentName = (service: string | undefined): string =>
  service === undefined ? sharedKey : layerKey(service);
