// Relays policy and key documents from one region's Redis to another's. Each is checked, judged, written in one step.
import { randomUUID } from "node:crypto";
import { z } from "zod";
import { parseJson } from "../../language/json.ts";
import { pairsOf } from "../../plugin-api/pairs.ts";
import { replyList, type Script, type Store } from "../../plugin-api/store.ts";
import { PolicyRefused } from "../../policy/document/problems.ts";
import { digestOf } from "../../policy/document/digest.ts";
import { sharedKey } from "../../policy/read.ts";
import { openPolicy } from "../../policy/signature/signature.ts";
import type { VerifyKey } from "../../policy/signature/verify-keys.ts";
import type { Spread } from "../../policy/sources/document-keys.ts";
import { changeDocument, maxHistoryBytes, maxRevisions, readHistory } from "../change-script.ts";
import {
  type Held,
  isWrongType,
  type KeptMarker,
  type Marker,
  readHeld,
  readMarker,
  type RelayKeys,
  relayKeys,
} from "./document-pair.ts";
import { judgeDocument, type Sides, type Verdict } from "./judge.ts";

const limitMs = 5_000;
/** Most revisions by which one document of the source may be ahead. */
const maxAhead = 10_000_000;
/** Number of recent changes that are searched for a change that comes back. */
const looksBack = 50;

/** Replaces a value. KEYS: a key. ARGV: expected value ("" = no key), new value. @returns 1 = replaced, 0 = not */
export const replaceKey: Script = {
  name: "relay-replace",
  lua: `
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1`,
};

export interface Ends {
  readonly source: Store;
  readonly target: Store;
  /** How the target distributes keys, and how the source does. */
  readonly targetSpread: Spread;
  readonly sourceSpread: Spread;
  readonly maxBytes: number;
  readonly now: () => number;
}

/** The result for one document. `moved`: the document changed meanwhile, so it has to be read again. */
export type Outcome =
  | { readonly act: "same" | "moved" }
  | { readonly act: "written"; readonly revision: number }
  | { readonly act: "diverged" | "refused"; readonly message: string };

export interface DocumentTask {
  readonly name: string;
  /** Keys whose signatures count; undefined = nothing has to be signed. */
  readonly trusted: readonly VerifyKey[] | undefined;
  readonly takeOver: boolean;
  /** Whether the source has a shared policy. If not, the source may have lost all its data, and nothing is deleted. */
  readonly sourceHolds: boolean;
  /** Brings what the document refers to (packages) to the target first. @returns why that is impossible */
  readonly prepare: (content: Opened) => Promise<string | undefined>;
}

const shape = z.looseObject({
  apiVersion: z.literal("outrigger/v1"),
  extensions: z
    .record(
      z.string(),
      z.looseObject({
        source: z.string(),
        version: z.string().optional(),
        sha256: z.string().optional(),
      }),
    )
    .optional(),
});
export type PolicyShape = z.output<typeof shape>;

export interface Opened {
  readonly policy: PolicyShape;
  readonly epoch: number;
}

/** Relays one document. Rejects with StoreUnavailable. */
export async function relayDocument(ends: Ends, task: DocumentTask): Promise<Outcome> {
  try {
    return await relayOne(ends, task);
  } catch (error) {
    // The error concerns this document only: the others are still relayed.
    if (!isWrongType(error)) throw error;
    return {
      act: "refused",
      message: `here or at the source ${task.name}, or a key beside it, is of another type (WRONGTYPE): somebody else wrote it; DEL it there`,
    };
  }
}

async function relayOne(ends: Ends, task: DocumentTask): Promise<Outcome> {
  const { name, trusted } = task;
  const keys = relayKeys(name, ends.targetSpread);
  const [theirs, target, kept] = await Promise.all([
    readHeld(ends.source, relayKeys(name, ends.sourceSpread), ends.maxBytes),
    readHeld(ends.target, keys, ends.maxBytes),
    readMarker(ends.target, keys),
  ]);
  const told = theirs.head?.revision ?? 0;
  const isNoNumber = isFar(told, Math.max(target.head?.revision ?? 0, kept.marker?.revision ?? 0));
  if (isNoNumber && trusted === undefined)
    return {
      act: "refused",
      message: `the source says that it is at revision ${told}, which is too far beyond: DEL applied${name.slice(sharedKey.length)} there, and apply once more`,
    };
  const source = isNoNumber ? { ...theirs, head: undefined, recorded: false } : theirs;
  if ((target.document?.length ?? 0) > 2 * ends.maxBytes)
    return {
      act: "refused",
      message: `what this region has is longer than ${2 * ends.maxBytes} bytes, twice OUTRIGGER_POLICY_MAX_BYTES: DEL it`,
    };
  if (source.document === undefined) return await relayRemoval(ends, task, { keys, source, target, kept });
  if (
    source.mark === kept.marker?.mark &&
    source.mark === target.mark &&
    source.head?.revision === kept.marker.revision
  )
    return { act: "same" };
  const opened = await open(ends, task, source.document);
  if ("message" in opened) return { act: "refused", message: opened.message };
  const sides: Sides = {
    source,
    target,
    marker: kept.marker,
    epoch: trusted && opened.epoch,
    targetEpoch: await epochOf(ends, task, target),
    takeOver: task.takeOver,
    nowMs: ends.now(),
  };
  return await carryOut(ends, task, { keys, source, target, kept }, sides, opened);
}

/** Whether a revision is too far ahead: it would enter this region's history, and the next one has to fit there. */
const isFar = (revision: number, known: number): boolean =>
  !Number.isSafeInteger(revision) || revision < 0 || revision > known + maxAhead;

interface Pair {
  readonly keys: RelayKeys;
  readonly source: Held;
  readonly target: Held;
  readonly kept: KeptMarker;
}

async function carryOut(
  ends: Ends,
  task: DocumentTask,
  pair: Pair,
  sides: Sides,
  opened: Opened,
): Promise<Outcome> {
  const verdict: Verdict = judgeDocument(sides);
  if (verdict.act === "same") {
    if (!verdict.note) return { act: "same" };
    const text = JSON.stringify(markerOf(pair, opened.epoch));
    const args = [pair.kept.text, text];
    return (await ends.target.run(replaceKey, [pair.keys.relayed], args, limitMs)) === 1
      ? { act: "same" }
      : { act: "moved" };
  }
  if (verdict.act !== "write") return verdict;
  if (sides.epoch === undefined && !task.takeOver && (await cameFromHere(ends, pair)))
    return { act: "diverged", message: comesBack };
  const problem = await task.prepare(opened);
  if (problem !== undefined) return { act: "refused", message: problem };
  return await write(ends, pair, opened.epoch);
}

const comesBack =
  "the source's came from this region, which has another one by now: both follow each other, and both were changed at once; apply what is to count in one of them";

/** Whether the change was made here. Else two regions that follow each other would exchange changes without end. */
async function cameFromHere({ target }: Ends, { keys, source }: Pair): Promise<boolean> {
  const { head } = source;
  if (!source.recorded || head === undefined || head.id === "") return false;
  const reply = await target.run(readHistory, [keys.history], [looksBack, ""], limitMs);
  const entries = replyList(reply);
  return entries.some(
    (list) => Array.isArray(list) && pairsOf(list).some(([name, id]) => name === "id" && id === head.id),
  );
}

/** Removes a layer that is gone at the source. Never the shared policy, nor a document that had to be signed. */
async function relayRemoval(ends: Ends, task: DocumentTask, pair: Pair): Promise<Outcome> {
  const { target, kept, source } = pair;
  const wasRelayed = kept.marker !== undefined && kept.marker.mark !== "";
  if (!wasRelayed || target.document === undefined || task.name === sharedKey || !task.sourceHolds)
    return { act: "same" };
  if (task.trusted !== undefined)
    return {
      act: "refused",
      message:
        "is gone at the source, which nobody signed: it stays here; to take it away, apply a signed one that is empty",
    };
  if (target.mark !== kept.marker.mark)
    return {
      act: "diverged",
      message: "is gone at the source, and was changed in this region: it stays here",
    };
  if ((source.head?.revision ?? 0) < kept.marker.revision)
    return {
      act: "refused",
      message: `is gone at the source, whose revision ${source.head?.revision ?? 0} is older than what was relayed (${kept.marker.revision}): it stays here`,
    };
  return await write(ends, pair, 0);
}

/** @returns the document's content, or why it is not relayed */
async function open(
  { maxBytes, now }: Ends,
  { name, trusted }: DocumentTask,
  bytes: Buffer,
): Promise<Opened | { readonly message: string }> {
  try {
    const opened = await openPolicy(bytes, name, trusted, maxBytes);
    if (opened.bytes.length > maxBytes)
      return { message: `the source's has more than ${maxBytes} bytes (OUTRIGGER_POLICY_MAX_BYTES)` };
    const { epoch = 0, exp } = opened.claims ?? {};
    if (exp !== undefined && exp * 1_000 <= now())
      return {
        message: `the source's was signed until ${new Date(exp * 1_000).toISOString()}: sign it anew`,
      };
    const parsed = shape.safeParse(parseJson(Buffer.from(opened.bytes).toString()));
    if (!parsed.success)
      return { message: 'the source\'s is no policy: it lacks "apiVersion": "outrigger/v1"' };
    return { policy: parsed.data, epoch };
  } catch (error) {
    if (error instanceof PolicyRefused)
      return { message: `the source's ${error.problems[0]?.message ?? ""}` };
    if (error instanceof SyntaxError) return { message: `the source's is ${error.message}` };
    throw error;
  }
}

/** @returns the epoch; 0 = no key that counts has signed the document with one */
async function epochOf({ maxBytes }: Ends, { name, trusted }: DocumentTask, held: Held): Promise<number> {
  if (trusted === undefined || held.document === undefined) return 0;
  try {
    return (await openPolicy(held.document, name, trusted, maxBytes)).claims?.epoch ?? 0;
  } catch (error) {
    if (error instanceof PolicyRefused) return 0;
    throw error;
  }
}

function markerOf({ source, kept }: Pair, epoch: number): Marker {
  return {
    revision: source.head?.revision ?? 0,
    mark: source.mark,
    direct: !source.recorded,
    signedEpoch: Math.max(epoch, kept.marker?.signedEpoch ?? 0),
  };
}

async function write({ target }: Ends, pair: Pair, epoch: number): Promise<Outcome> {
  const { keys, source, kept } = pair;
  const { head, document = Buffer.alloc(0) } = source;
  const digest = source.document === undefined ? "" : digestOf(source.document);
  const facts =
    source.recorded && head !== undefined
      ? [head.kind || "apply", digest, head.author, head.reason]
      : ["direct", digest, "somebody (seen by outrigger relay)", ""];
  const args = [
    "relay",
    0,
    "",
    document,
    ...facts.map((text) => text.slice(0, 1_000)),
    // The id is the same in all regions, so that a change which comes back is recognised.
    (source.recorded && head?.id.slice(0, 100)) || randomUUID(),
    "",
    source.document === undefined ? "1" : "",
    maxRevisions,
    maxHistoryBytes,
    epoch,
    pair.target.mark,
    kept.text,
    source.recorded ? (head?.revision ?? 0) : 0,
    JSON.stringify(markerOf(pair, epoch)),
  ];
  const { document: at, history, epoch: counter, applied, relayed } = keys;
  const reply = await target.run(changeDocument, [at, history, counter, applied, relayed], args, limitMs);
  const [said, revision] = replyList(reply);
  if (said === "ok") return { act: "written", revision: Number(revision) };
  if (said !== "stale") return { act: "moved" };
  return {
    act: "refused",
    message: `the source's is of epoch ${epoch}, and this region has had one of as high an epoch: sign the source's anew`,
  };
}
