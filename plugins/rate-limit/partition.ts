// Finds whom a request is counted under: the value of `by`, and the part of it that keys use as their hash tag.
import { hash } from "node:crypto";
import { networkReader } from "../../src/language/network.ts";
import { claimAt, type Claims } from "../../src/language/claim-path.ts";
import { type Exchange, fieldKey, type Identity } from "../../src/plugin-api/contract.ts";

/** Reads the value of one `by` from an exchange. */
export interface Partition {
  /** Equal for requests that count together. It holds personal data and must stay in memory. */
  value(exchange: Exchange): string;
  /** The part of the value that names the caller, so that all limits of one caller can share a hash tag. */
  tag(exchange: Exchange): string;
}

export interface PartitionContext {
  readonly service: string;
  readonly ipv6Prefix: number;
  /** The name of the plan that a request counts under; unknown plans become the default one. */
  readonly planOf: (exchange: Exchange) => string;
}

interface Part {
  /** Lower ranks name the caller more exactly. */
  readonly rank: number;
  readonly kind: string;
  read(exchange: Exchange): string | undefined;
}

/** Longer values are kept as their hash, so that a client cannot decide how much memory a caller takes. */
const maxValue = 128;

/** Personal data gets into a key only as this hash. At 128 bits collisions do not happen. */
export function digest(text: string): string {
  return hash("sha256", text, "base64url").slice(0, 22);
}

/** @param by already checked by the schema */
export function createPartition(
  by: string | readonly string[],
  fallback: "ip" | "shared",
  context: PartitionContext,
): Partition {
  const readAddress = networkReader(context.ipv6Prefix);
  const parts = (typeof by === "string" ? [by] : by).map((name) => createPart(name, readAddress, context));
  const standIn = (exchange: Exchange): string =>
    fallback === "ip" ? `ip:${readAddress(exchange.client.address)}` : "shared:";
  // "\0" marks a stand-in: no field value, claim path or address can be mistaken for one.
  const read = (part: Part, exchange: Exchange): string => {
    const value = part.read(exchange);
    if (value === undefined || value === "") return `\0${standIn(exchange)}`;
    return value.length > maxValue || value.startsWith("\0") ? `\0#${digest(value)}` : value;
  };
  const first = parts.toSorted((a, b) => a.rank - b.rank)[0] as Part;
  const tag = (exchange: Exchange): string => {
    const value = read(first, exchange);
    return value.startsWith("\0") && !value.startsWith("\0#") ? value.slice(1) : `${first.kind}:${value}`;
  };
  if (parts.length === 1) return { value: (exchange) => read(first, exchange), tag };
  return {
    tag,
    value(exchange) {
      // Lengths keep ["a", "bc"] and ["ab", "c"] apart.
      let joined = "";
      for (const part of parts) {
        const value = read(part, exchange);
        joined += `${value.length}:${value}`;
      }
      return joined;
    },
  };
}

function createPart(name: string, readAddress: (address: string) => string, context: PartitionContext): Part {
  const colon = name.indexOf(":");
  const kind = colon === -1 ? name : name.slice(0, colon);
  const argument = colon === -1 ? "" : name.slice(colon + 1);
  switch (kind) {
    case "subject":
      return {
        rank: 0,
        kind,
        read: ({ identity }) => (identity === undefined ? undefined : subjectOf(identity)),
      };
    case "apiKey":
      return {
        rank: 1,
        kind,
        read: ({ identity }) => (identity?.method === "api-key" ? identity.credentialId : undefined),
      };
    case "claim": {
      return { rank: 2, kind: name, read: ({ identity }) => identity && claimOf(identity, argument) };
    }
    case "header": {
      const field = fieldKey(argument);
      return { rank: 3, kind: `header:${field}`, read: (exchange) => exchange.request.fields.get(field) };
    }
    case "ip":
      return { rank: 4, kind, read: (exchange) => readAddress(exchange.client.address) };
    case "plan":
      return { rank: 5, kind, read: context.planOf };
    case "route":
      return { rank: 6, kind, read: (exchange) => exchange.route.pattern };
    case "service":
      return { rank: 7, kind, read: () => context.service };
    default:
      throw new RangeError(`unknown part of by: ${name}`);
  }
}

// An identity object is cached with its credential: the text is built once per identity, not once per request.
const subjects = new WeakMap<Identity, string>();

/** The user together with its issuer: user "1" of one issuer is not user "1" of another. */
function subjectOf(identity: Identity): string {
  const { userId, issuer } = identity;
  if (issuer === undefined || userId === "") return userId;
  let subject = subjects.get(identity);
  if (subject === undefined) {
    // User ids contain no line end, so that none can pass for a subject with an issuer.
    subject = `${issuer}\n${userId}`;
    subjects.set(identity, subject);
  }
  return subject;
}

/** As with subjects, the value counts per issuer. */
function claimOf({ claims, issuer }: Identity, path: string): string | undefined {
  const value = claimValue(claims, path);
  return value === undefined || value === "" || issuer === undefined ? value : `${issuer}\n${value}`;
}

/** Text, numbers and booleans as text, so that `7` and `"7"` count together. A list or object counts as no value. */
function claimValue(claims: Claims, path: string): string | undefined {
  const value = claimAt(claims, path);
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean"
    ? String(value)
    : undefined;
}
