// Redacts what the access log must not show, in every format: credentials, and what the options name.
import { fieldKey, type Fields, type RouteInfo } from "../../src/plugin-api/contract.ts";
import { compileQueryRedaction, redacted, secretNames, urlFields } from "../../src/language/redaction.ts";
import type { LoggingOptions } from "./options.ts";

/** Members that `redact` can hide. */
export type HidableMember = "path" | "host" | "clientIp" | "userId" | "credentialId" | "userAgent";

export interface Redaction {
  /** @param encode how the format writes a text @returns a function that writes this member, redacted if hidden */
  shown(member: HidableMember, encode: (value: string) => string): (value: string) => string;
  /** Redacts a query; takes and gives it with its `?`. */
  readonly query: (query: string) => string;
  /** Names of secret fields, in the form of `fieldKey`. */
  readonly secrets: ReadonlySet<string>;
}

let latest: { readonly hides: string; readonly redaction: Redaction } | undefined;

/** Most routes of a policy hide the same names: consecutive routes share the compiled redaction. */
export function compileRedaction(
  redact: readonly string[],
  { secretNames: ofRoute }: Pick<RouteInfo, "secretNames">,
): Redaction {
  const hides = JSON.stringify([redact, [...ofRoute]]);
  if (latest?.hides !== hides) latest = { hides, redaction: compile(redact, ofRoute) };
  return latest.redaction;
}

function compile(redact: readonly string[], ofRoute: ReadonlySet<string>): Redaction {
  const secrets = secretNames([...redact, ...ofRoute]);
  const hidden = secretNames(redact);
  return {
    shown(member, encode) {
      const isHidden =
        hidden.has(member.toLowerCase()) || (member === "userAgent" && secrets.has("user-agent"));
      if (!isHidden) return encode;
      const text = encode(redacted);
      return () => text;
    },
    query: compileQueryRedaction(secrets),
    secrets,
  };
}

/** Picked fields that were present: name in lower case, and the value after redaction. */
export type PickedFields = readonly (readonly [name: string, value: string])[];

/** Compiles the selection of fields in the `headers` option. */
export function compileFieldPicker(
  { headers }: Pick<LoggingOptions, "headers">,
  secrets: ReadonlySet<string>,
): (fields: Fields) => PickedFields {
  const redactUrl = compileQueryRedaction(secrets);
  const picked = [...new Set(headers.map((name) => name.toLowerCase()))].map((lower) => ({
    lower,
    key: fieldKey(lower),
    secret: secrets.has(fieldKey(lower)),
    isUrl: urlFields.has(fieldKey(lower)),
  }));
  return function pickFields(fields) {
    const found: [string, string][] = [];
    for (const { lower, key, secret, isUrl } of picked) {
      const value = fields.get(key);
      if (value === undefined) continue;
      found.push([lower, secret ? redacted : isUrl ? redactUrl(value) : value]);
    }
    return found;
  };
}
