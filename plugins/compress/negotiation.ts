// Chooses a client's content coding by its Accept-Encoding (RFC 9110 section 12.5.3).
import { tokenCharacter } from "../../src/language/field-name.ts";
import { boundedCache } from "../../src/plugin-api/contract.ts";

export type Coding = "zstd" | "br" | "gzip";

export interface Choice {
  /** undefined = the client accepts none of these, or prefers no coding. */
  readonly coding: Coding | undefined;
  /** Whether the client refuses a body without a coding (`identity;q=0`, `*;q=0`). */
  readonly refusesPlain: boolean;
}

const member = new RegExp(`^(${tokenCharacter}+)(?:[ \\t]*;[ \\t]*q=(0(?:\\.\\d{0,3})?|1(?:\\.0{0,3})?))?$`);

/** Browsers send only a handful of different values. */
const remembered = 256;
const maxRememberedLength = 128;

/** Parses the weights. Malformed members are ignored; of a coding named twice the last weight counts. */
function weights(value: string): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const text of value.toLowerCase().split(",")) {
    const [, name, q = "1"] = member.exec(text.trim()) ?? [];
    // Section 8.4.1.3: x-gzip is the same coding as gzip.
    if (name !== undefined) found.set(name === "x-gzip" ? "gzip" : name, Number(q));
  }
  return found;
}

function choose(value: string, codings: readonly Coding[]): Choice {
  const asked = weights(value);
  const others = asked.get("*");
  let best: Coding | undefined;
  let bestWeight = 0;
  for (const coding of codings) {
    const weight = asked.get(coding) ?? others ?? 0;
    if (weight > bestWeight) [best, bestWeight] = [coding, weight];
  }
  // `identity` without a weight is only the fallback: any accepted coding is preferred.
  const plain = asked.get("identity") ?? (others === 0 ? 0 : undefined);
  return {
    coding: plain !== undefined && plain > bestWeight ? undefined : best,
    refusesPlain: plain === 0,
  };
}

/** By the RFC, no field means any coding; in practice such a client is a program that knows none. */
const unasked: Choice = { coding: undefined, refusesPlain: false };

/** @param codings in order of preference */
export function compileChoice(codings: readonly Coding[]): (acceptEncoding: string | undefined) => Choice {
  const known = boundedCache<Choice>(remembered);
  return function choiceOf(acceptEncoding) {
    if (acceptEncoding === undefined) return unasked;
    if (acceptEncoding.length > maxRememberedLength) return choose(acceptEncoding, codings);
    let choice = known.get(acceptEncoding);
    if (choice === undefined) known.set(acceptEncoding, (choice = choose(acceptEncoding, codings)));
    return choice;
  };
}
