// Runs `outrigger policy apply FILE`: checks a policy and puts it in force, over the revision that it was made from and
// no other.
import { documentIn } from "../plane/candidate.ts";
import { type Difference, differences } from "../plane/difference.ts";
import type { Current } from "../plane/history.ts";
import type { Finding } from "../plane/lint/finding.ts";
import { printLint } from "./lint-text.ts";
import { printDifferences, willCount } from "./policy-diff.ts";
import {
  type ExtensionReport,
  printExtensions,
  reportExtensions,
  withExtensions,
} from "./policy-extensions.ts";
import { type Checked, readCandidate } from "./policy-file.ts";
import { wrongWait } from "./command-parts.ts";
import { parseWait, reportConvergence } from "./policy-wait.ts";
import { beginCanary, type CanaryOptions, parseCanary, type WantedCanary } from "./policy-canary.ts";
import { documentOver, putInForce, refuseUnsigned, refuseWarned, tested } from "./policy-change.ts";
import { isSigned, type Place } from "./policy-signed.ts";
import { parseSigning, type SigningOptions, type SigningWish } from "./signing-options.ts";
import type { Terminal } from "./terminal.ts";
import { warnOfUnheard } from "./unheard-service.ts";
import { documentName, type Plane, PlaneRefusal, withPlane } from "./with-plane.ts";

export interface ApplyOptions extends SigningOptions, CanaryOptions {
  readonly service?: string;
  readonly reason?: string;
  readonly author?: string;
  readonly base?: string;
  readonly dryRun?: true;
  readonly strict?: true;
  readonly wait?: string;
  readonly json?: true;
}

const maxReason = 1_000;

/** @returns the exit code */
export async function applyPolicy(terminal: Terminal, file: string, options: ApplyOptions): Promise<number> {
  const { service, reason = "", json } = options;
  const wanted = parseApply(options);
  if (typeof wanted === "string") {
    terminal.err(`${wanted}\n`);
    return 2;
  }
  const { waitMs, wish, canary: asked } = wanted;
  return await withPlane(terminal, options, async (plane) => {
    // Read first: whatever others change while the file is read and checked is then a conflict.
    const before = await headOf(plane, options, wanted.base);
    const { bytes, warnings, ...candidate } = await checked(terminal, plane, file, options);
    refuseUnsigned(candidate.extensions, { name: file, bytes }, service, wish);
    const changes = differences(before.document && documentIn(before.document), documentIn(bytes));
    const reports = await reportExtensions(plane.packages, candidate, service, before.document);
    if (!json) printExtensions((line) => terminal.err(line), reports);
    const extensions = withExtensions(reports);
    if (options.dryRun) {
      await warnOfUnheard(terminal, plane, service, willCount);
      if (json)
        printDryRun(terminal, service, { revision: before.revision, changes, warnings, ...extensions });
      else printDifferences(terminal, changes);
      return 0;
    }
    const document = await documentFor(terminal, plane, bytes, wish, { service, before });
    const canary = asked && { wanted: asked, service, reason, before, document, waitMs, json };
    if (canary !== undefined) return await beginCanary(terminal, plane, canary);
    const written = await putInForce(plane, document, { service, before }, reason);
    const made = { service, written, waitMs, json, changes, warnings, ...extensions };
    return await reportConvergence(terminal, plane, made);
  });
}

interface Wanted {
  readonly waitMs: number | undefined;
  readonly base: number | undefined;
  readonly wish: SigningWish | undefined;
  readonly canary: WantedCanary | undefined;
}

/** @returns the parsed options; a text = what is wrong with them */
function parseApply(options: ApplyOptions): Wanted | string {
  const { reason = "" } = options;
  const waitMs = parseWait(options.wait);
  const base = options.base === undefined ? undefined : Number(options.base);
  const wish = parseSigning(options);
  if (typeof wish === "string") return wish;
  const canary = parseCanary(options);
  if (typeof canary === "string") return canary;
  if (waitMs === "wrong") return wrongWait;
  if (options.base !== undefined && !/^\d{1,15}$/.test(options.base))
    return "--base takes a revision, a number of policy history";
  if (reason.length > maxReason) return `--reason takes at most ${maxReason} characters`;
  return { waitMs, base, wish, canary };
}

/** @returns what the document's key holds now. Rejects when that is not the revision asked for. */
async function headOf(
  { history, canaries, author }: Plane,
  { service, dryRun }: ApplyOptions,
  base: number | undefined,
): Promise<Current> {
  if (!dryRun) await canaries.makeWay();
  const head = await (dryRun ? history.peek(service) : history.current(service, author));
  if (base !== undefined && base !== head.revision)
    throw new PlaneRefusal(
      `${documentName(service)} is at revision ${head.revision}, not ${base}: by ${head.head?.author ?? "?"} at ${head.head?.at ?? "?"}`,
    );
  return head;
}

/** @returns the file's policy, which has passed every check. Prints its warnings */
async function checked(
  terminal: Terminal,
  plane: Plane,
  file: string,
  { service, key, strict, json }: ApplyOptions,
): Promise<Pick<Checked, "bytes" | "extensions" | "filledIn"> & { warnings: readonly Finding[] }> {
  const candidate = await readCandidate(plane, file, service, key === undefined ? undefined : "ignored");
  const lint = await tested(plane, candidate, service, file);
  if (!json || strict) printLint((line) => terminal.err(line), file, lint);
  if (strict) refuseWarned(lint);
  if (candidate.losesComments) terminal.err(`${file}: its comments stay in the file: Redis holds JSON\n`);
  const { bytes, extensions, filledIn } = candidate;
  return { bytes, warnings: lint.findings, extensions, filledIn };
}

function printDryRun(
  terminal: Terminal,
  service: string | undefined,
  found: {
    revision: number;
    changes: readonly Difference[];
    warnings: readonly Finding[];
    extensions?: readonly ExtensionReport[];
  },
): void {
  const outcome = { document: documentName(service), dryRun: true, ...found };
  terminal.out(`${JSON.stringify(outcome, null, 2)}\n`);
}

/** @returns the document as it goes into Redis, signed if asked for */
async function documentFor(
  terminal: Terminal,
  plane: Plane,
  bytes: Buffer,
  wish: SigningWish | undefined,
  place: Place,
): Promise<Buffer> {
  const document = await documentOver(plane, bytes, wish, place);
  const there = place.before.document;
  if (there && isSigned(there) && !isSigned(document))
    terminal.err("what is there is signed, and this is not: sidecars with OUTRIGGER_POLICY_KEYS refuse it\n");
  return document;
}
