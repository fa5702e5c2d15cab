// Picks the certificate that a client is shown, by the host that it names in its handshake (SNI, RFC 6066 section 3).
import { X509Certificate } from "node:crypto";
import type { ServerOptions } from "node:https";
import type { SecureContext } from "node:tls";
import { certificatesIn } from "../tls/pem.ts";

type Pick = NonNullable<ServerOptions["SNICallback"]>;

/** Certificates by their DNS names. If several have a name, the first wins; exact names come before wildcards. */
export class CertificatesByName {
  readonly #exact = new Map<string, SecureContext>();
  readonly #wildcards = new Map<string, SecureContext>();

  constructor(certificates: readonly (readonly [chain: string, context: SecureContext])[]) {
    for (const [chain, context] of certificates) {
      for (const name of dnsNamesOf(chain)) {
        const wildcard = name.startsWith("*.");
        const names = wildcard ? this.#wildcards : this.#exact;
        const key = wildcard ? name.slice(1) : name;
        if (!names.has(key)) names.set(key, context);
      }
    }
  }

  /** @param name as the client sent it; `*` stands for one label (RFC 9525 section 6.3) */
  get(name: string): SecureContext | undefined {
    const host = name.toLowerCase();
    const dot = host.indexOf(".");
    return this.#exact.get(host) ?? (dot > 0 ? this.#wildcards.get(host.slice(dot)) : undefined);
  }
}

/**
 * @param certificates returns those in force at the time of a handshake
 * @param refusesUnknown whether a handshake that names none of their hosts is refused
 */
export function pickBySni(certificates: () => CertificatesByName | undefined, refusesUnknown: boolean): Pick {
  return (name, done) => {
    const context = certificates()?.get(name);
    if (context === undefined && refusesUnknown) done(new Error("no certificate for this host"));
    else done(null, context);
  };
}

function dnsNamesOf(chain: string): string[] {
  const [leaf] = certificatesIn(chain);
  if (leaf === undefined) return [];
  // Quoted names hold characters that no host name has.
  const names = new X509Certificate(leaf).subjectAltName?.split(", ") ?? [];
  return names.flatMap((name) => (/^DNS:[^"]+$/.test(name) ? [name.slice(4).toLowerCase()] : []));
}
