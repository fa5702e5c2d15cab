// Checks Content-Digest (RFC 9530): whether a body has the digest that was signed.
import { hash } from "node:crypto";
import { parseDictionary } from "structured-headers";

/** The algorithms of section 5 that are not broken. */
const algorithms: Readonly<Record<string, string>> = { "sha-256": "sha256", "sha-512": "sha512" };

/**
 * @returns what is wrong; undefined = nothing. Every digest by a known algorithm must be right, and there must be one.
 */
export function digestFault(field: string, body: Buffer): string | undefined {
  let members: ReturnType<typeof parseDictionary>;
  try {
    members = parseDictionary(field);
  } catch {
    return "malformed";
  }
  let checked = 0;
  for (const [name, [value]] of members) {
    const algorithm = Object.hasOwn(algorithms, name) ? algorithms[name] : undefined;
    if (algorithm === undefined) continue;
    if (!(value instanceof ArrayBuffer)) return "malformed";
    if (!Buffer.from(value).equals(hash(algorithm, body, "buffer"))) return `${name} is of another body`;
    checked += 1;
  }
  return checked === 0 ? "neither sha-256 nor sha-512" : undefined;
}
