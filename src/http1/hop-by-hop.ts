// Finds the fields that concern only one connection and are not forwarded, either way (RFC 9110 section 7.6.1).
import { Fields } from "../plugin-api/fields.ts";
import { fieldKey } from "../language/field-name.ts";
import { compileNameTest, hopByHopFields, isForwardedField } from "../language/field-sets.ts";

// Fields that a sender must not remove by naming them in Connection. The message would change its meaning or framing,
// or, for fields about earlier hops, hide who is asking behind a proxy that passes Connection on.
const unnameable = new Set(["host", "content-length", "content-type", "trailer", "cache-control", "expect"]);
const isNameable = (name: string): boolean => !unnameable.has(name) && !isForwardedField(name);

/** The fields of a received message without the hop-by-hop ones. */
export function endToEndFields(flat: readonly string[]): Fields {
  let connection: string | undefined;
  for (let i = 0; i < flat.length; i += 2) {
    const name = flat[i] as string;
    if (name.length !== 10 || name.toLowerCase() !== "connection") continue;
    connection = connection === undefined ? flat[i + 1] : `${connection},${flat[i + 1]}`;
  }
  return new Fields(flat, isHopByHop(connection));
}

/** @param connection value of the Connection field. @returns a test whether a lower-case name is hop-by-hop */
export function isHopByHop(connection: string | undefined): (lowerName: string) => boolean {
  const named = namedFields(connection);
  if (named === undefined) return isAlwaysHopByHop;
  return (lowerName) => isAlwaysHopByHop(lowerName) || named.has(lowerName);
}

/** Hop-by-hop whatever Connection says. */
export const isAlwaysHopByHop = compileNameTest(hopByHopFields);

function namedFields(connection: string | undefined): Set<string> | undefined {
  // The two values that nearly every message has.
  if (connection === undefined || connection === "keep-alive" || connection === "close") return undefined;
  const names = connection
    .split(",")
    .map((name) => fieldKey(name.trim()))
    .filter((name) => name !== "" && !isAlwaysHopByHop(name) && isNameable(name));
  return names.length === 0 ? undefined : new Set(names);
}
