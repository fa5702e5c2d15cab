// Reports a change of a policy, and implements `--wait`: which sidecars have it in force, which do not, how long it
// took.
import { type Convergence, converge } from "../plane/converge.ts";
import type { Difference } from "../plane/difference.ts";
import type { Written } from "../plane/history.ts";
import type { Finding } from "../plane/lint/finding.ts";
import { whereRights } from "../redis/failure.ts";
import { StoreUnavailable } from "../plugin-api/store.ts";
import { parseDuration } from "../language/duration.ts";
import type { ExtensionReport } from "./policy-extensions.ts";
import { type Successor, successorText, superseded } from "./superseded.ts";
import { printable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { warnOfUnheard } from "./unheard-service.ts";
import { untilSignal } from "./until-signal.ts";
import { documentName, type Plane } from "./with-plane.ts";

/** @returns milliseconds; undefined = do not wait */
export function parseWait(text: string | undefined): number | undefined | "wrong" {
  return text === undefined ? undefined : (parseDuration(text) ?? "wrong");
}

const notAwaited =
  "no sidecar was asked whether it has that in force: outrigger fleet shows who has, and who refuses it and why; --wait 30s waits for all\n";

export interface Made {
  readonly service: string | undefined;
  readonly written: Written;
  readonly waitMs: number | undefined;
  readonly json: true | undefined;
  readonly changes: readonly Difference[];
  /** Findings of lint; undefined = lint did not run. */
  readonly warnings?: readonly Finding[];
  /** Extensions that are new, or have other packages. */
  readonly extensions?: readonly ExtensionReport[];
}

/** @returns the exit code: 1 when a sidecar does not have it in force, 130 when the wait was interrupted */
export async function reportConvergence(terminal: Terminal, plane: Plane, made: Made): Promise<number> {
  return await untilSignal(["SIGINT"], (stop) => report(terminal, plane, made, stop));
}

async function report(terminal: Terminal, plane: Plane, made: Made, stop: AbortSignal): Promise<number> {
  const { service, written, waitMs, json, changes, warnings, extensions } = made;
  const { revision, digest, atMs, unchanged } = written;
  const document = documentName(service);
  const facts = { document, revision, digest, at: new Date(atMs).toISOString(), unchanged };
  if (!json) {
    const what = unchanged ? "holds this already, as" : digest === "" ? "is deleted, as" : "is now at";
    terminal.out(
      `${document} ${what} revision ${revision}${digest === "" ? "" : `, document sha256 ${digest}`}\n`,
    );
  }
  await warnOfUnheard(terminal, plane, service, "it is written, and counts once there is one");
  if (waitMs === undefined) {
    if (json) terminal.out(`${JSON.stringify({ ...facts, changes, extensions, warnings }, null, 2)}\n`);
    else terminal.out(notAwaited);
    return 0;
  }
  const { result, successor } = await receiptsOf(terminal, plane, made, stop);
  if (terminal.errIsTty) terminal.err("\r\u001B[K");
  if (json)
    terminal.out(
      `${JSON.stringify({ ...facts, changes, extensions, warnings, receipts: result, successor }, null, 2)}\n`,
    );
  else if (result !== null) printConvergence(terminal, result);
  if (result?.concerned === 0 && result.unreadable.length === 0) terminal.err(noneLives(service));
  if (successor !== undefined && result?.converged !== true)
    terminal.err(
      `${printable(`stopped waiting: ${successorText(successor)} took the place of revision ${revision}`)}\n`,
    );
  else if (stop.aborted && result?.converged !== true) {
    terminal.err(`stopped waiting; revision ${revision} stays where it is\n`);
    return 130;
  }
  return result?.converged === true ? 0 : 1;
}

const noneLives = (service: string | undefined): string =>
  `no sidecar${service === undefined ? "" : ` of ${service}`} lives, so nobody has confirmed it\n`;

interface Received {
  /** null = Redis does not answer, which is reported: the change itself is already made. */
  readonly result: Convergence | null;
  /** What took its place meanwhile, which ended the wait. */
  readonly successor: Successor | undefined;
}

async function receiptsOf(
  terminal: Terminal,
  plane: Plane,
  { service, written: { revision, digest, atMs }, waitMs = 0 }: Made,
  interrupted: AbortSignal,
): Promise<Received> {
  const onProgress = (inForce: number, concerned: number): void => {
    if (terminal.errIsTty) terminal.err(`\r${inForce} of ${concerned} sidecars have it in force `);
  };
  const over = new AbortController();
  const signal = AbortSignal.any([interrupted, over.signal]);
  let successor: Successor | undefined;
  const watching = superseded(plane, service, digest, signal).then((found) => {
    successor = found;
    over.abort();
  });
  try {
    const found = await converge(
      plane.store,
      { service, digest, atMs },
      { limitMs: waitMs, signal, onProgress },
    );
    // Who waits for a service wants to hear of it from a sidecar: the name may be mistyped. The shared policy also goes
    // into a Redis that has lost everything, where sidecars only come back to.
    const result = { ...found, converged: found.converged && (service === undefined || found.concerned > 0) };
    return { result, successor };
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    const hint = error.code === "NOPERM" ? `: ${whereRights}` : "";
    terminal.err(
      `${documentName(service)} holds revision ${revision}; who has it in force cannot be told: Redis: ${error.message}${hint}\n`,
    );
    return { result: null, successor };
  } finally {
    over.abort();
    await watching;
  }
}

function printConvergence(terminal: Terminal, result: Convergence): void {
  const { concerned, inForce, ms, refused, late, namesakes, gone, left, unreadable, unanswered } = result;
  const times = ms === null ? "" : ` after p50 ${ms.p50} ms, p99 ${ms.p99} ms, max ${ms.max} ms`;
  terminal.out(`in force in ${inForce} of ${concerned} sidecars${times}\n`);
  if (unanswered !== null)
    terminal.err(
      `${printable(`Redis does not answer any more, so who has it in force by now cannot be told (${unanswered}); when it last did:`)}\n`,
    );
  for (const { service, instance, problems } of refused) {
    for (const problem of problems)
      terminal.err(`${printable(`${service}/${instance} refuses it: ${problem}`)}\n`);
  }
  for (const name of late) terminal.err(`${printable(name)} does not have it yet\n`);
  for (const name of namesakes)
    terminal.err(
      `${printable(name)} is the name of several live sidecars, so nobody can tell what each has in force: give each an OUTRIGGER_INSTANCE of its own\n`,
    );
  for (const name of gone)
    terminal.err(`${printable(name)} fell silent meanwhile: what it serves by nobody can tell\n`);
  for (const name of left) terminal.out(`${printable(name)} ended meanwhile\n`);
  for (const key of unreadable)
    terminal.err(`${key} in Redis is not what sidecars write there: who else lives nobody can tell\n`);
}
