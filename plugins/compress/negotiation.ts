// Which content coding a client gets, by its Accept-Encoding (RFC 9110 section 12.5.3).
import { tokenCharacter } from "../../src/language/field-name.ts";
import { boundedCache } from "../../src/plugin-api/contract.ts";

export type Coding = "zstd" | "br" | "gzip";

export interface Choice {
  /** undefined = none of ours, or it would rather have none. */
  readonly coding: Coding | undefined;
  /** Whether it takes no body without a coding (`identity;q=0`, `*;q=0`). */
  readonly refusesPlain: boolean;
}

const member = new RegExp(`^(${tokenCharacter}+)(?:[ \\t]*;[ \\t]*q=(0(?:\\.\\d{0,3})?|1(?:\\.0{0,3})?))?$`);

/** Browsers send a handful of values in all. */
const remembered = 256;
const maxRememberedLength = 128;

/** Members that cannot be read ask for nothing; of one that is there twice the last counts. */
function weights(value: string): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const text of value.toLowerCase().split(",")) {
    const [, name, q = "1"] = member.exec(text.trim()) ?? [];
    // Section 8.4.1.3: the same coding.
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
  // Not named, it is what there is when nothing else is: a coding that is asked for comes first.
  const plain = asked.get("identity") ?? (others === 0 ? 0 : undefined);
  return {
    coding: plain !== undefined && plain > bestWeight ? undefined : best,
    refusesPlain: plain === 0,
  };
}

/** Who says nothing takes any coding by the RFC, and in practice is a program that knows none. */
const unasked: Choice = { coding: undefined, refusesPlain: false };

/** @param codings best first */
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
