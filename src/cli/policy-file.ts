// A policy file that is to go into Redis: read once, checked as the sidecars will, with what is said on the way.
import type { Extension } from "../extensions/entry.ts";
import type { Candidate } from "../plane/candidate.ts";
import { candidateOf } from "../plane/candidate.ts";
import { readPolicyFile } from "../policy/sources/file-source.ts";
import type { PolicyFormat } from "../policy/document/parse.ts";
import { PolicyRefused } from "../policy/document/problems.ts";
import { createPolicyReader, type RawPolicy, sharedKey } from "../policy/read.ts";
import { pluginsByName } from "../app/registry.ts";
import { askedTrust, keySetsIn } from "./plane-trust.ts";
import { pinDocument, type PinnedDocument } from "./policy-extensions.ts";
import { carriesTests, failedTests, servicesIn } from "./policy-test.ts";
import { type Plane, PlaneRefusal } from "./with-plane.ts";

/** A candidate with the documents that it was checked in. */
export interface Checked extends Candidate {
  readonly format: PolicyFormat;
  readonly raw: RawPolicy;
  readonly extensions: readonly Extension[];
  /** As `PinnedDocument` has it. */
  readonly filledIn: PinnedDocument["filledIn"];
}

/** Whether OUTRIGGER_POLICY_KEYS are asked about a document that may be signed later. */
type Signatures = "asked" | "ignored";

/** Rejects with PolicyRefused (its problems name the file), or PlaneRefusal when it cannot be read. */
export async function readCandidate(
  plane: Plane,
  file: string,
  service: string | undefined,
  signatures: Signatures = "asked",
): Promise<Checked> {
  const reading = await readPolicyFile(file, plane.config.policyMaxBytes);
  if (reading.state !== "read") throw new PlaneRefusal(reading.message);
  const { shared: bytes, format } = reading.raw;
  return await checkCandidate(plane, { name: file, bytes, format }, service, signatures);
}

/** A document that is to go into Redis, wherever it was found. */
export interface Found {
  /** For people: its file, or where else it lies. */
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly format: PolicyFormat;
}

/** Rejects with PolicyRefused (its problems name the document). */
export async function checkCandidate(
  plane: Plane,
  { name, bytes: own, format: written }: Found,
  service: string | undefined,
  signatures: Signatures = "asked",
): Promise<Checked> {
  const vouching = { trusted: await askedTrust(plane), nowMs: Date.now() };
  const { bytes, format, filledIn } =
    service === undefined
      ? await pinDocument(plane.packages, { bytes: own, format: written }, name, vouching)
      : { bytes: own, format: written, filledIn: new Map<string, string | undefined>() };
  const { raw, extensions } = await check(plane, bytes, format, service, name, signatures);
  const { losesComments } = candidateOf(own, written);
  return { ...candidateOf(bytes, format), losesComments, raw, format, extensions, filledIn };
}

/**
 * Runs the tests of documents that were found valid. Rejects with PolicyRefused when one is not passed.
 * @param name of the document on top in problems
 */
export async function passTests(
  { config, packages }: Plane,
  raw: RawPolicy,
  service: string | undefined,
  name: string,
): Promise<void> {
  if (!carriesTests(raw)) return;
  const { testDocuments } = await import("../app/document-tests.ts");
  const found = await testDocuments(config, raw, servicesIn(raw), service, packages.find);
  const isOwn = (document = sharedKey): boolean => service === undefined || document !== sharedKey;
  const problems = failedTests(found, (document) => (isOwn(document) ? name : sharedKey));
  if (problems.length > 0) throw new PolicyRefused(problems);
}

/**
 * Checks a document as a sidecar would that gets it now: a layer over the shared policy that Redis has.
 * @param name of the document in problems
 * @returns both documents, and the extensions of the policy that they are
 */
export async function check(
  plane: Plane,
  bytes: Uint8Array,
  format: PolicyFormat,
  service: string | undefined,
  name: string,
  signatures: Signatures = "asked",
): Promise<{ readonly raw: RawPolicy; readonly extensions: readonly Extension[] }> {
  const { config, history } = plane;
  const { upstreamAllow, policyMaxBytes: maxBytes } = config;
  const keys = signatures === "asked" ? config.policyKeys : undefined;
  const packages = plane.packages.find;
  const plugins = pluginsByName;
  const read = await createPolicyReader({ plugins, packages, service, upstreamAllow, keys, maxBytes });
  let lower: Uint8Array | undefined;
  if (service !== undefined) {
    lower = (await history.peek(undefined)).document;
    if (lower === undefined)
      throw new PlaneRefusal(`there is no shared policy for a layer to go over: apply that first`);
  }
  const raw: RawPolicy =
    lower === undefined
      ? { shared: bytes, layer: undefined, format }
      : { shared: lower, layer: bytes, format: "any" };
  try {
    const { extensions } = await read({ ...raw, keySets: await keySetsIn(plane) });
    return { raw, extensions };
  } catch (error) {
    if (!(error instanceof PolicyRefused)) throw error;
    const own = ({ document = sharedKey }: { document?: string }): boolean =>
      service === undefined || document !== sharedKey;
    throw new PolicyRefused(
      error.problems.map((problem) => ({ ...problem, document: own(problem) ? name : sharedKey })),
    );
  }
}
