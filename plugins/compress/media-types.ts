// Decides which media types (RFC 9110 section 8.3.1) are compressed.
import { tokenCharacter } from "../../src/language/field-name.ts";
import { boundedCache } from "../../src/plugin-api/contract.ts";

const token = `${tokenCharacter}+`;

export const typePattern = new RegExp(`^(?:\\*/\\*|${token}/(?:\\*\\+${token}|\\*|${token}))$`);

/**
 * Streams whose messages are awaited one by one: a coding would delay them, or save nothing where they have their own.
 */
const streamed = /^(?:text\/event-stream|multipart\/x-mixed-replace|application\/(?:grpc|connect\+).*)$/;

/** A service has few media types; the cache is bounded in case it sends many. */
const remembered = 256;
const maxRememberedLength = 128;

function takes(range: string, essence: string): boolean {
  if (range === "*/*" || range === essence) return true;
  const [before, suffix] = range.split("/*", 2);
  return suffix !== undefined && essence.startsWith(`${before}/`) && essence.endsWith(suffix);
}

/** @param ranges as policies write them @returns a function: whether a Content-Type matches one of them */
export function compileTypes(ranges: readonly string[]): (contentType: string) => boolean {
  const lower = ranges.map((range) => range.toLowerCase());
  const known = boundedCache<"yes" | "no">(remembered);
  const judge = (contentType: string): boolean => {
    const essence = (contentType.split(";", 1)[0] ?? "").trim().toLowerCase();
    return !streamed.test(essence) && lower.some((range) => takes(range, essence));
  };
  return function isTaken(contentType) {
    if (contentType.length > maxRememberedLength) return judge(contentType);
    const answer = known.get(contentType);
    if (answer !== undefined) return answer === "yes";
    const taken = judge(contentType);
    known.set(contentType, taken ? "yes" : "no");
    return taken;
  };
}
