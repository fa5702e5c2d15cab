// Finds what is wrong with a route's `upstream`.
import { FormatError, type UpstreamAddress, parseUpstream } from "../../config/formats.ts";

/** @returns the flaw; undefined for an address that is well-formed and allowed */
export function upstreamFlaw(
  text: string,
  isAllowed: (target: UpstreamAddress) => boolean,
): string | undefined {
  try {
    const target = parseUpstream(text);
    if (isAllowed(target)) return undefined;
    return `${target.name} is neither on loopback nor in OUTRIGGER_UPSTREAM_ALLOW: add ${target.name} there to allow it`;
  } catch (error) {
    if (error instanceof FormatError) return error.message;
    throw error;
  }
}
