// Reads the names in a client certificate: from the text that Node gives, and from X-Forwarded-Client-Cert.
import { identityText } from "../option-fields.ts";

/** The ids of a certificate that claims to be several workloads. */
export const ambiguousIds: readonly string[] = [];
const maxForwardedLength = 8_192;

// A name must also look like its type, so that none passes for the other: a URI has a colon, a DNS name has none.
const uriText = /^[A-Za-z][A-Za-z0-9+.-]*:/;
const dnsText = /^[A-Za-z0-9*._-]+$/;

function isId(type: string, name: string): boolean {
  return identityText.test(name) && (type === "uri" ? uriText : dnsText).test(name);
}

/**
 * @param uris how many URI names the certificate has, including those that cannot be ids
 * @returns the names, URIs first; `ambiguousIds` where a SPIFFE id is not the only URI (X509-SVID section 2: refuse it)
 */
function idsOf(names: readonly string[], uris: number): readonly string[] {
  if (uris > 1 && names.some((name) => /^spiffe:/i.test(name))) return ambiguousIds;
  return names.toSorted((a, b) => Number(b.includes(":")) - Number(a.includes(":")));
}

/** @returns the URI and DNS names in Node's text: `URI:x, DNS:"quoted when it holds odd characters"` */
export function namesOf(subjectAltName: string | undefined): readonly string[] {
  const names: string[] = [];
  let uris = 0;
  for (const match of (subjectAltName ?? "").matchAll(/(?:^|, )(URI|DNS):("(?:[^"\\]|\\.)*"|[^,]*)/g)) {
    const [, type, text] = match as unknown as readonly [string, string, string];
    if (type === "URI") uris += 1;
    // A quoted name holds a separator or control character (CVE-2021-44532). No valid id does.
    if (!text.startsWith('"') && isId(type.toLowerCase(), text)) names.push(text);
  }
  return idsOf(names, uris);
}

/**
 * @returns the pairs of the last element in X-Forwarded-Client-Cert (Envoy's format), keys in lower case. Proxies
 * append, so the last element describes the client that the trusted proxy itself has seen.
 */
function forwardedPairs(value: string): readonly (readonly [string, string])[] {
  if (value.length > maxForwardedLength) return [];
  let start = 0;
  let quoted = false;
  for (let i = 0; i < value.length; i += 1) {
    if (value[i] === "\\" && quoted) i += 1;
    else if (value[i] === '"') quoted = !quoted;
    else if (value[i] === "," && !quoted) start = i + 1;
  }
  if (quoted) return [];
  const pairs = value.slice(start).matchAll(/(?:^|;)\s*([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^;]*)/g);
  return [...pairs].map(([, key = "", text = ""]) => [key.toLowerCase(), text.replace(/^"|"$/g, "").trim()]);
}

/** @returns the URI and DNS names of that client's certificate */
export function forwardedNames(value: string): readonly string[] {
  const names: string[] = [];
  let uris = 0;
  for (const [key, name] of forwardedPairs(value)) {
    if (key === "uri") uris += 1;
    if ((key === "uri" || key === "dns") && isId(key, name)) names.push(name);
  }
  return idsOf(names, uris);
}

/** @returns the SHA-256 of that client's certificate in base64url; undefined where it is missing or there twice */
export function forwardedThumbprint(value: string): string | undefined {
  const [told, ...others] = forwardedPairs(value).filter(([key]) => key === "hash");
  const hex = told?.[1] ?? "";
  if (others.length > 0 || !/^[0-9a-f]{64}$/i.test(hex)) return undefined;
  return Buffer.from(hex, "hex").toString("base64url");
}
