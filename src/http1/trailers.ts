// Filters the fields that come after a body (RFC 9110 section 6.5). A receiver that merges them into the head's fields
// believes them like those, so they must pass the tests of the head. In addition, fields about framing, routing,
// authorisation or content format are removed: in a trailer they come too late (section 6.5.1).
import { fieldKey } from "../language/field-name.ts";
import {
  credentialFields,
  isForwardedField,
  isOverrideField,
  messageFields,
} from "../language/field-sets.ts";
import type { DropsField } from "../plugin-api/fields.ts";
import { isGrpcType } from "../plugin-api/grpc-type.ts";
import type { RequestHead } from "./request-head.ts";

const forbidden = new Set([
  ...messageFields,
  ...credentialFields,
  ...(
    "max-forwards via cache-control pragma range if-match if-none-match if-modified-since if-unmodified-since " +
    "if-range www-authenticate authentication-info proxy-authentication-info proxy-status cookie set-cookie origin " +
    "x-request-id age date expires location retry-after vary warning content-encoding content-type content-range " +
    "server x-powered-by strict-transport-security content-security-policy"
  ).split(" "),
]);

const none: readonly string[] = [];

/**
 * @param drops a further test
 * @returns the fields without those that must not be believed after the body
 */
export function allowedTrailers(fields: readonly string[], drops?: DropsField): readonly string[] {
  if (fields.length === 0) return none;
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    const lower = fieldKey(name);
    if (forbidden.has(lower) || lower.startsWith("x-user-") || lower.startsWith("access-control-")) continue;
    if (isForwardedField(lower) || isOverrideField(lower)) continue;
    if (drops?.(lower, name.includes("_")) === true) continue;
    kept.push(name, fields[i + 1] as string);
  }
  return kept;
}

/** Which trailers of requests are forwarded: `asked` = those of requests that say `TE: trailers` or are gRPC. */
export type RequestTrailers = "asked" | "all" | "none";

/** The rules of one policy for trailers. */
export class TrailerRules {
  readonly #mode: RequestTrailers;
  readonly #headOnly: ReadonlySet<string>;

  /** @param headOnly names that plugins read, set or remove in heads */
  constructor(mode: RequestTrailers, headOnly: Iterable<string>) {
    this.#mode = mode;
    this.#headOnly = new Set([...headOnly].map(fieldKey));
  }

  ofRequest(raw: readonly string[], { te, fields, drops }: RequestHead): readonly string[] {
    if (raw.length === 0 || this.#mode === "none") return none;
    if (this.#mode === "asked" && !takesTrailers(te) && !isGrpcType(fields.get("content-type"))) return none;
    return allowedTrailers(raw, (name, underscored) => this.#headOnly.has(name) || drops(name, underscored));
  }

  ofResponse(raw: readonly string[]): readonly string[] {
    return allowedTrailers(raw, (name) => this.#headOnly.has(name));
  }
}

/** RFC 9110 section 10.1.4. */
function takesTrailers(te: string | undefined): boolean {
  return te !== undefined && /(?:^|,)[ \t]*trailers[ \t]*(?:,|$)/i.test(te);
}
