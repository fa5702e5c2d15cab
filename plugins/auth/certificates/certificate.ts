// Identifies callers by client certificates: the connection's own, or the one that a trusted proxy describes in
// X-Forwarded-Client-Cert. From anyone else that field proves nothing.
import { hash, X509Certificate } from "node:crypto";
import { boundedCache, type Clock, type Exchange, type Identity } from "../../../src/plugin-api/contract.ts";
import { compileIds } from "../rules/conditions.ts";
import { accepted, refused, type AuthResult } from "../auth-result.ts";
import { ambiguousIds, forwardedNames, forwardedThumbprint, namesOf } from "./certificate-names.ts";
import type { CertificateOptions } from "./options.ts";

export const forwardedField = "x-forwarded-client-cert";

const ended = refused("certificate", "certificate: expired");
const notListed = refused("certificate", "certificate: its id is not listed");
const severalIds = refused("certificate", "certificate: a SPIFFE id beside another URI");
/** The ids when there is no certificate. */
const noIds: readonly string[] = [];

interface Listed {
  readonly matches: (id: string) => boolean;
  readonly identityOf: (id: string, expiresAt: number | undefined) => Identity;
}

/** The ids of a certificate that has expired while its connection goes on. */
const overIds: readonly string[] = [];

interface Certificate {
  readonly ids: readonly string[];
  /** Epoch milliseconds. */
  readonly endsMs: number;
  /** SHA-256 of the certificate in base64url: `x5t#S256`. */
  readonly thumbprint: string;
}

/** Reads the end by RFC 5280 section 4.1.2.5. A certificate whose end cannot be read counts as expired. */
function readCertificate(der: Buffer, thumbprint: string): Certificate {
  const { subjectAltName, validToDate } = new X509Certificate(der);
  const endsMs = validToDate.getTime();
  return { ids: namesOf(subjectAltName), endsMs: Number.isNaN(endsMs) ? 0 : endsMs, thumbprint };
}

export class CertificateCheck {
  readonly #clock: Clock;
  readonly #forwarded: boolean;
  /** undefined = certificates identify nobody. */
  readonly #listed: readonly Listed[] | undefined;
  // Results are cached by the list of names, so each certificate has one list, whichever buffer its bytes are in.
  readonly #byBuffer = new WeakMap<Buffer, Certificate>();
  readonly #byDigest = boundedCache<Certificate>(4_096);
  readonly #byField = boundedCache<readonly string[]>(1_024);
  readonly #results = new WeakMap<readonly string[], AuthResult>();

  /**
   * @param options undefined = certificates identify nobody, but rules may ask for them, and tokens may be bound to
   * them
   */
  constructor(options: CertificateOptions | undefined, clock: Clock) {
    this.#clock = clock;
    this.#forwarded = options?.forwarded ?? false;
    this.#listed = options?.identities.map((entry) => ({
      matches: compileIds([entry.id]),
      identityOf: (id, expiresAt) => ({
        userId: entry.userId ?? id,
        plan: entry.plan,
        scopes: entry.scopes,
        roles: entry.roles,
        method: "certificate",
        credentialId: id,
        claims: {},
        expiresAt,
      }),
    }));
  }

  /** @returns the ids that the client's certificate proves; empty when it showed none */
  ids(exchange: Exchange): readonly string[] {
    const value = this.#told(exchange);
    if (value === undefined) {
      const der = this.#shown(exchange);
      if (der === undefined) return noIds;
      const { ids, endsMs } = this.#read(der);
      return this.#clock.now() < endsMs ? ids : overIds;
    }
    let names = this.#byField.get(value);
    if (names === undefined) {
      names = forwardedNames(value);
      this.#byField.set(value, names);
    }
    return names;
  }

  /**
   * Whether the ids are of a certificate that has expired or claims to be several workloads. That is a bad credential
   * whatever else the request shows, as no rule could tell whose certificate it is.
   */
  isBad(ids: readonly string[]): boolean {
    return ids === overIds || ids === ambiguousIds;
  }

  /**
   * @returns `x5t#S256` (RFC 8705 section 3.1) of the client's certificate; undefined = none was shown, or it has
   * expired
   */
  thumbprint(exchange: Exchange): string | undefined {
    const value = this.#told(exchange);
    if (value !== undefined) return forwardedThumbprint(value);
    const der = this.#shown(exchange);
    if (der === undefined) return undefined;
    const { thumbprint, endsMs } = this.#read(der);
    return this.#clock.now() < endsMs ? thumbprint : undefined;
  }

  /**
   * @returns what a trusted proxy says of its client. It has precedence over the connection's certificate, which is the
   * proxy's own.
   */
  #told({ client, request }: Exchange): string | undefined {
    return this.#forwarded && client.viaTrustedProxy ? request.fields.get(forwardedField) : undefined;
  }

  /**
   * @returns the connection's certificate, unless it is the proxy's and the client is behind the proxy: one of which the
   * proxy tells no certificate must not be taken for the proxy itself
   */
  #shown({ client }: Exchange): Buffer | undefined {
    const isBehind = client.viaTrustedProxy && client.address !== client.peer;
    return this.#forwarded && isBehind ? undefined : client.tls?.certificate;
  }

  /**
   * @param ids as returned by `ids`
   * @returns undefined when no certificate was shown, or certificates identify nobody
   */
  check(ids: readonly string[], exchange: Exchange): AuthResult | undefined {
    if (ids === noIds) return undefined;
    if (ids === ambiguousIds) return severalIds;
    if (ids === overIds) return ended;
    if (this.#listed === undefined) return undefined;
    let result = this.#results.get(ids);
    if (result === undefined) {
      const der = this.#told(exchange) === undefined ? this.#shown(exchange) : undefined;
      result = find(this.#listed, ids, der === undefined ? undefined : this.#read(der).endsMs);
      this.#results.set(ids, result);
    }
    return result;
  }

  #read(der: Buffer): Certificate {
    let certificate = this.#byBuffer.get(der);
    if (certificate === undefined) {
      const digest = hash("sha256", der, "base64url");
      certificate = this.#byDigest.get(digest) ?? readCertificate(der, digest);
      this.#byDigest.set(digest, certificate);
      this.#byBuffer.set(der, certificate);
    }
    return certificate;
  }
}

function find(listed: readonly Listed[], ids: readonly string[], endsMs: number | undefined): AuthResult {
  for (const { matches, identityOf } of listed) {
    const id = ids.find(matches);
    if (id !== undefined) return accepted(identityOf(id, endsMs));
  }
  return notListed;
}
