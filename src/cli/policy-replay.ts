// Runs `outrigger policy replay CANDIDATE`: replays recorded requests and prints whose answers would change.
import { loadConfig } from "../app/environment.ts";
import { replayRequests } from "../app/replayed-policy.ts";
import type { Config } from "../config/config.ts";
import { parseDuration } from "../language/duration.ts";
import { LogStreams } from "../plane/log-streams.ts";
import { textOf } from "../plugin-api/error-text.ts";
import { PolicyRefused, problemText } from "../policy/document/problems.ts";
import { layerKey, type RawPolicy, sharedKey } from "../policy/read.ts";
import type { VerifyKey } from "../policy/signature/verify-keys.ts";
import type { FindPackages } from "../policy/extensions/resolve.ts";
import type { Changes } from "../policy-replay/changes.ts";
import { askedTrust, verifiedIn } from "./plane-trust.ts";
import { withPolicyPackages } from "./policy-packages.ts";
import { readPolicy } from "./policy-validate.ts";
import { LineRefusal, RecordedLines } from "./recorded-lines.ts";
import { jsonOfReplay, printReplay } from "./replay-text.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { type Plane, PlaneRefusal, withPlane } from "./with-plane.ts";

export interface ReplayOptions {
  readonly from?: string;
  readonly service?: string;
  readonly since?: string;
  readonly over?: string;
  readonly strict?: true;
  readonly json?: true;
}

/** @returns the exit code: 1 when the policy is not valid, or with `strict` when an answer changes */
export async function replayPolicy(
  terminal: Terminal,
  file: string,
  options: ReplayOptions,
): Promise<number> {
  const { from, service, since = "1h" } = options;
  const sinceMs = parseDuration(since);
  if (sinceMs === undefined) {
    terminal.err("--since takes a time such as 30m, 1h or 7d\n");
    return 2;
  }
  const lines = new RecordedLines();
  try {
    if (from !== undefined) {
      await lines.readFile(from, service);
      const config = loadConfig(terminal.env);
      return await withPolicyPackages(config, ({ find }) =>
        show(terminal, { config, file, options, lines, layerOf: undefined, find }),
      );
    }
    return await withPlane(terminal, options, async (plane) => {
      const { config, store, packages } = plane;
      await lines.readStreams(new LogStreams(store, service, Date.now() - sinceMs));
      if (lines.requests.count === 0)
        throw new PlaneRefusal(
          "no such line: services write here where the policy says pluginConfig.logging.stream; --from reads a file",
        );
      const trusted = await askedTrust(plane);
      const layerOf = (name: string) => countingLayer(terminal, plane, name, trusted);
      return await show(terminal, { config, file, options, lines, layerOf, find: packages.find });
    });
  } catch (error) {
    if (!(error instanceof LineRefusal)) throw error;
    terminal.err(`${printable(error.message)}\n`);
    return 1;
  } finally {
    lines.requests.close();
  }
}

/**
 * The service's layer in Redis, if sidecars would accept it. A layer without an accepted signature is reported and left
 * out.
 */
async function countingLayer(
  terminal: Terminal,
  plane: Plane,
  service: string,
  trusted: readonly VerifyKey[] | undefined,
): Promise<Buffer | undefined> {
  const { document } = await plane.history.peek(service);
  const key = layerKey(service);
  if (document === undefined || trusted === undefined) return document;
  if ((await verifiedIn(plane, document, key, trusted)) !== undefined) return document;
  terminal.err(
    `${printable(key)} in Redis is left out: no key of OUTRIGGER_POLICY_KEYS signed it, so sidecars refuse it\n`,
  );
  return undefined;
}

interface Asked {
  readonly config: Config;
  readonly file: string;
  readonly options: ReplayOptions;
  readonly lines: RecordedLines;
  /** Returns the service's layer in Redis; undefined = layers in Redis are not used. */
  readonly layerOf: ((service: string) => Promise<Buffer | undefined>) | undefined;
  readonly find: FindPackages;
}

async function show(terminal: Terminal, asked: Asked): Promise<number> {
  const { config, file, options, lines, layerOf, find } = asked;
  let changes: Changes;
  try {
    const raw = await readPolicy(file, options.over, config.policyMaxBytes);
    const rawFor = async (service: string): Promise<RawPolicy> => {
      // A candidate that is itself a layer replaces the one in Redis.
      const layer = raw.layer ?? (await layerOf?.(service));
      return { ...raw, layer, standing: layer !== raw.layer };
    };
    changes = await replayRequests(config, lines.requests.inOrder(), rawFor, find);
  } catch (error) {
    const problems = error instanceof PolicyRefused ? error.problems : [{ path: "", message: textOf(error) }];
    for (const problem of problems) {
      const document = placeOf(problem.document, file, options.over);
      terminal.err(`${printable(problemText({ ...problem, document }))}\n`);
    }
    return 1;
  }
  if (options.json) terminal.out(`${JSON.stringify(jsonOfReplay(changes, lines), null, 2)}\n`);
  else printReplay(terminal, changes, lines);
  return options.strict && changes.told.length > 0 ? 1 : 0;
}

/** @param document key of the document in Redis @returns name of the place where it was read */
function placeOf(document: string | undefined, file: string, over: string | undefined): string {
  if (over !== undefined) return document === sharedKey ? over : file;
  return document === undefined || document === sharedKey ? file : `${document} in Redis`;
}
