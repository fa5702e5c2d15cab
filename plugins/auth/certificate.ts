// Client certificates as identities: of the connection itself, or as a trusted proxy tells of them in
// X-Forwarded-Client-Cert. From anyone else that field is a claim without proof.
import { hash, X509Certificate } from "node:crypto";
import type { Exchange, Identity } from "../../src/pipeline/contract.ts";
import { boundedCache } from "./bounded-cache.ts";
import { compileIds } from "./conditions.ts";
import { accepted, refused, type Finding } from "./finding.ts";
import { identityText } from "./option-fields.ts";
import type { CertificateOptions } from "./options.ts";

export const forwardedField = "x-forwarded-client-cert";

const notListed = refused("certificate", "certificate: its id is not listed");
const severalIds = refused("certificate", "certificate: a SPIFFE id beside another URI");
/** Of whom no certificate is known. */
const noIds: readonly string[] = [];
/** Of a certificate that says to be several workloads. */
const ambiguousIds: readonly string[] = [];
const maxForwardedLength = 8_192;

// A name is of its type by its form too, so that none passes for one of the other: a URI has a colon, a DNS name none.
const uriText = /^[A-Za-z][A-Za-z0-9+.-]*:/;
const dnsText = /^[A-Za-z0-9*._-]+$/;

function isId(type: string, name: string): boolean {
  return identityText.test(name) && (type === "uri" ? uriText : dnsText).test(name);
}

/**
 * @param uris how many URI names the certificate has, those that are no ids too
 * @returns URIs first; nothing where a SPIFFE id is not the only URI (X509-SVID section 2: then it must be refused)
 */
function idsOf(names: readonly string[], uris: number): readonly string[] {
  if (uris > 1 && names.some((name) => /^spiffe:/i.test(name))) return ambiguousIds;
  return names.toSorted((a, b) => Number(b.includes(":")) - Number(a.includes(":")));
}

/** URI and DNS names of a certificate, as node prints them: `URI:x, DNS:"quoted when it holds odd characters"`. */
export function namesOf(subjectAltName: string | undefined): readonly string[] {
  const names: string[] = [];
  let uris = 0;
  for (const match of (subjectAltName ?? "").matchAll(/(?:^|, )(URI|DNS):("(?:[^"\\]|\\.)*"|[^,]*)/g)) {
    const [, type, text] = match as unknown as readonly [string, string, string];
    if (type === "URI") uris += 1;
    // A quoted name holds a separator or control character (CVE-2021-44532): no id of ours does.
    if (!text.startsWith('"') && isId(type.toLowerCase(), text)) names.push(text);
  }
  return idsOf(names, uris);
}

/**
 * URI and DNS names of the nearest client in X-Forwarded-Client-Cert (Envoy's format). Proxies append, so the last
 * element is the one that the trusted proxy itself has seen.
 */
export function forwardedNames(value: string): readonly string[] {
  if (value.length > maxForwardedLength) return [];
  const names: string[] = [];
  let uris = 0;
  let start = 0;
  let quoted = false;
  for (let i = 0; i < value.length; i += 1) {
    if (value[i] === "\\" && quoted) i += 1;
    else if (value[i] === '"') quoted = !quoted;
    else if (value[i] === "," && !quoted) start = i + 1;
  }
  if (quoted) return [];
  for (const match of value.slice(start).matchAll(/(?:^|;)\s*([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^;]*)/g)) {
    const key = (match[1] as string).toLowerCase();
    const name = (match[2] as string).replace(/^"|"$/g, "").trim();
    if (key === "uri") uris += 1;
    if ((key === "uri" || key === "dns") && isId(key, name)) names.push(name);
  }
  return idsOf(names, uris);
}

interface Listed {
  readonly matches: (id: string) => boolean;
  readonly identityOf: (id: string) => Identity;
}

export class CertificateCheck {
  readonly #forwarded: boolean;
  readonly #listed: readonly Listed[];
  // One list of names for one certificate, however its bytes come: the finding hangs on the list.
  readonly #byBuffer = new WeakMap<Buffer, readonly string[]>();
  readonly #byDigest = boundedCache<readonly string[]>(4_096);
  readonly #byField = boundedCache<readonly string[]>(1_024);
  readonly #findings = new WeakMap<readonly string[], Finding>();

  constructor(options: CertificateOptions) {
    this.#forwarded = options.forwarded;
    this.#listed = options.identities.map((entry) => ({
      matches: compileIds([entry.id]),
      identityOf: (id) => ({
        userId: entry.userId ?? id,
        plan: entry.plan,
        scopes: entry.scopes,
        roles: entry.roles,
        method: "certificate",
        credentialId: id,
        claims: {},
      }),
    }));
  }

  /** Ids that the client's certificate proves; none when it showed none. */
  ids(exchange: Exchange): readonly string[] {
    const der = exchange.client.tls?.certificate;
    if (der !== undefined) {
      let names = this.#byBuffer.get(der);
      if (names === undefined) {
        names = this.#read(der);
        this.#byBuffer.set(der, names);
      }
      return names;
    }
    if (!this.#forwarded || !exchange.client.viaTrustedProxy) return noIds;
    const value = exchange.request.fields.get(forwardedField);
    if (value === undefined) return noIds;
    let names = this.#byField.get(value);
    if (names === undefined) {
      names = forwardedNames(value);
      this.#byField.set(value, names);
    }
    return names;
  }

  /** @returns undefined when no certificate was shown */
  check(ids: readonly string[]): Finding | undefined {
    if (ids === noIds) return undefined;
    if (ids === ambiguousIds) return severalIds;
    let finding = this.#findings.get(ids);
    if (finding === undefined) {
      finding = this.#find(ids);
      this.#findings.set(ids, finding);
    }
    return finding;
  }

  #read(der: Buffer): readonly string[] {
    const digest = hash("sha256", der, "hex");
    let names = this.#byDigest.get(digest);
    if (names === undefined) {
      names = namesOf(new X509Certificate(der).subjectAltName);
      this.#byDigest.set(digest, names);
    }
    return names;
  }

  #find(ids: readonly string[]): Finding {
    for (const { matches, identityOf } of this.#listed) {
      const id = ids.find(matches);
      if (id !== undefined) return accepted(identityOf(id));
    }
    return notListed;
  }
}
