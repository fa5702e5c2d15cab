// Reads a policy file that is to go into Redis, once, and checks it as the sidecars will.
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

/** A candidate, with the documents together with which it was checked. */
export interface Checked extends Candidate {
  readonly format: PolicyFormat;
  readonly raw: RawPolicy;
  readonly extensions: readonly Extension[];
  /** See `PinnedDocument`. */
  readonly filledIn: PinnedDocument["filledIn"];
}

/** Whether OUTRIGGER_POLICY_KEYS applies to the document, which may be signed only later. */
type Signatures = "asked" | "ignored";

/** Rejects with PolicyRefused (its problems name the file), or with PlaneRefusal when the file cannot be read. */
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

/** A document that is to go into Redis, from any source. */
export interface Found {
  /** Name for people: the file, or where else it is. */
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
 * Runs the tests of valid documents. Rejects with PolicyRefused when a test fails.
 * @param name name in problems of the document on top
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
 * Checks a document as a sidecar that receives it now would: a layer is checked over the shared policy in Redis.
 * @param name the document's name in problems
 * @returns both documents, and the extensions of the policy that they form
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
