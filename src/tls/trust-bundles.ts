// Decides which SVIDs are trusted. Each trust domain has its own authorities, and those of one domain never count for
// an id of another (SPIFFE Trust Domain and Bundle section 5.2, X509-SVID section 5.1). OpenSSL checks a handshake
// against all authorities at once, so the chain is checked here once more against those of the id's domain.
import { X509Certificate } from "node:crypto";
import { elementsIn } from "./der.ts";
import { certificatesIn } from "./pem.ts";
import { extensionsOf, type Svid, readSvid } from "./svid.ts";

/** basicConstraints and nameConstraints, RFC 5280 sections 4.2.1.9 and 4.2.1.10. */
const oids = { basicConstraints: "551d13", nameConstraints: "551d1e" };
/** In a chain, including the holder's own certificate. */
const maxLinks = 8;
const integerTag = 0x02;

export class TrustBundles {
  readonly #own: string;
  readonly #federated: ReadonlyMap<string, readonly X509Certificate[]>;
  readonly #authorities: readonly X509Certificate[];
  /** Whether SVIDs of other trust domains than the sidecar's can count at all. */
  readonly federates: boolean;

  /**
   * @param own the trust domain of this sidecar @param bundle its authorities in PEM
   * @param federated PEM bundles by trust domain; undefined = only the own domain counts, and OpenSSL's check suffices
   */
  constructor(own: string, bundle: string, federated?: ReadonlyMap<string, string>) {
    this.#own = own;
    this.#authorities = federated === undefined ? [] : authoritiesIn(bundle);
    this.federates = federated !== undefined;
    this.#federated = new Map([...(federated ?? [])].map(([domain, pem]) => [domain, authoritiesIn(pem)]));
  }

  /** @param leaf of a chain that OpenSSL has verified @returns undefined if no authority of its domain issued it */
  svidOf(leaf: X509Certificate, nowMs = Date.now()): Svid | undefined {
    const svid = readSvid(leaf);
    if (svid === undefined) return undefined;
    const isOwn = svid.trustDomain === this.#own;
    if (!this.federates) return isOwn ? svid : undefined;
    const authorities = isOwn ? this.#authorities : this.#federated.get(svid.trustDomain);
    return authorities !== undefined && leadsTo(authorities, leaf, nowMs) ? svid : undefined;
  }
}

/**
 * Whether the chain ends at one of the authorities, and each link is valid now. Stricter than OpenSSL: an authority
 * with name constraints does not count.
 */
function leadsTo(authorities: readonly X509Certificate[], leaf: X509Certificate, nowMs: number): boolean {
  let link = leaf;
  for (let below = 0; below < maxLinks; below += 1) {
    const current = link;
    if (authorities.some((each) => vouches(each, current, below, nowMs))) return true;
    const next = current.issuerCertificate;
    if (next === undefined || !vouches(next, current, below, nowMs)) return false;
    link = next;
  }
  return false;
}

/** @param below how many authorities are below this one in the chain */
function vouches(issuer: X509Certificate, issued: X509Certificate, below: number, nowMs: number): boolean {
  try {
    return (
      issuer.ca &&
      issuer.validFromDate.getTime() <= nowMs &&
      nowMs <= issuer.validToDate.getTime() &&
      issued.checkIssued(issuer) &&
      issued.verify(issuer.publicKey) &&
      mayHave(issuer, below)
    );
  } catch {
    return false; // Its key or its extensions cannot be parsed.
  }
}

/** @throws RangeError if its extensions cannot be parsed */
function mayHave({ raw }: X509Certificate, below: number): boolean {
  const extensions = extensionsOf(raw);
  if (extensions.has(oids.nameConstraints)) return false;
  const [constraints] = elementsIn(extensions.get(oids.basicConstraints) ?? Buffer.alloc(0));
  const most = elementsIn(constraints?.content ?? Buffer.alloc(0)).find(({ tag }) => tag === integerTag);
  if (most === undefined) return true;
  return most.content.length === 1 && below <= most.content.readInt8(0);
}

function authoritiesIn(pem: string): X509Certificate[] {
  return certificatesIn(pem).map((each) => new X509Certificate(each));
}
