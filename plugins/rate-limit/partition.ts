// Who a request is counted under: the value of `by`, and the part of it that keys share as their hash tag.
import { hash } from "node:crypto";
import { networkReader } from "../../src/language/network.ts";
import { claimAt, type Claims } from "../../src/language/claim-path.ts";
import { type Exchange, fieldKey, type Identity } from "../../src/plugin-api/contract.ts";

/** Reads the value of one `by` from an exchange. */
export interface Partition {
  /** Equal for requests that count together. Holds personal data: for memory only. */
  value(exchange: Exchange): string;
  /** The caller in it, so that all limits of one caller can share a hash tag. */
  tag(exchange: Exchange): string;
}

export interface PartitionContext {
  readonly service: string;
  readonly ipv6Prefix: number;
  /** Name under which an identity's plan is counted; unknown plans are the default one. */
  readonly planOf: (exchange: Exchange) => string;
}

interface Part {
  /** Lower ranks name the caller more exactly. */
  readonly rank: number;
  readonly kind: string;
  read(exchange: Exchange): string | undefined;
}

/** Longer values are kept as their hash: what a client may send must not decide how much memory a caller takes. */
const maxValue = 128;

/** Personal data never reaches a key but through this. 128 bits: nobody meets a collision. */
export function digest(text: string): string {
  return hash("sha256", text, "base64url").slice(0, 22);
}

/** @param by checked by the schema */
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

// An identity lives as long as what was found about its credential: put together once, not for each request.
const subjects = new WeakMap<Identity, string>();

/** The user, of its issuer: "1" of one is not "1" of another. */
function subjectOf(identity: Identity): string {
  const { userId, issuer } = identity;
  if (issuer === undefined || userId === "") return userId;
  let subject = subjects.get(identity);
  if (subject === undefined) {
    // No user id has a line end in it, so that none passes for one of an issuer.
    subject = `${issuer}\n${userId}`;
    subjects.set(identity, subject);
  }
  return subject;
}

/** As subjects are: of its issuer. */
function claimOf({ claims, issuer }: Identity, path: string): string | undefined {
  const value = claimValue(claims, path);
  return value === undefined || value === "" || issuer === undefined ? value : `${issuer}\n${value}`;
}

/** Text, numbers and booleans by their text, so that `7` and `"7"` are one; a list or object is no value. */
function claimValue(claims: Claims, path: string): string | undefined {
  const value = claimAt(claims, path);
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean"
    ? String(value)
    : undefined;
}
