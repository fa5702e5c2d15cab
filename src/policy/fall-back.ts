// Finds a policy to serve while nothing is in force and the source cannot help. It tries, in this order: the policy in
// force before the start, the policy of sibling sidecars, the policy file.
import type { Problem } from "./document/problems.ts";
import type { RawPolicy } from "./read.ts";
import type { LastKnownGood } from "./sources/last-known-good.ts";
import type { AskPeers } from "./sources/peer-policies.ts";
import type { PolicySource, SourceReading } from "./sources/source.ts";
import type { PolicyOrigin } from "./status.ts";
import { textOf } from "../plugin-api/error-text.ts";

export interface FallBacks {
  readonly lastKnownGood?: LastKnownGood | undefined;
  /** Absent = no siblings are asked. */
  readonly peers?: AskPeers | undefined;
  /** Reads the policy file when Redis is the source. Never rejects. */
  readonly baseline?: (() => Promise<SourceReading>) | undefined;
}

type Found =
  | { readonly origin: PolicyOrigin; readonly raw: RawPolicy }
  | { readonly origin?: undefined; readonly raw?: undefined; readonly problem: Problem };

/** Yields one candidate after the other; each is looked for when it is requested. */
export async function* fallBacks(
  { lastKnownGood, peers, baseline }: FallBacks,
  source: PolicySource | undefined,
): AsyncGenerator<Found> {
  const kept = await lastKnownGood?.load();
  // A policy kept from a file says nothing about what Redis had.
  if (kept?.from === source?.kind && kept?.raw !== undefined) yield { raw: kept.raw, origin: "kept" };
  if (peers !== undefined) {
    try {
      for (const raw of await peers()) yield { raw, origin: "peer" };
    } catch (error) {
      yield { problem: { path: "", message: textOf(error) } };
    }
  }
  if (baseline === undefined) return;
  const reading = await baseline();
  if (reading.state === "read") yield { raw: reading.raw, origin: "file" };
  else yield { problem: { path: "", message: reading.message } };
}
