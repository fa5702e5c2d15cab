// Certificates, keys, client authorities and revocation lists of the listener, as its files have them.
import { constants, X509Certificate } from "node:crypto";
import type { ServerOptions } from "node:https";
import { createSecureContext, type SecureContext } from "node:tls";
import { type Pair, readCertificates, readPair, readRevocationLists } from "../tls/read-files.ts";
import { certificatesIn } from "../tls/pem.ts";
import { readFederatedBundles } from "../tls/federated-bundles.ts";
import { TrustBundles } from "../tls/trust-bundles.ts";
import { Revocations } from "../tls/revocations.ts";
import { readSvidChain } from "../tls/svid.ts";
import { CertificatesByName } from "./sni.ts";

export interface TlsFiles {
  /** The first is shown to whoever names no host, or none of the others'. */
  readonly pairs: readonly Pair[];
  /** Client certificates are asked for, and checked against these, when it is there. */
  readonly clientCa: string | undefined;
  /** With it, a certificate counts only when no list names it and there is a list of every authority of its chain. */
  readonly clientCrl: string | undefined;
  readonly minVersion: "TLSv1.2" | "TLSv1.3";
  /** The certificate must be an SVID of this domain, whose authorities `clientCa` holds. */
  readonly trustDomain?: string | undefined;
  /** Folder of those of other domains. */
  readonly federatedBundles?: string | undefined;
}

export interface TlsContent {
  readonly chains: readonly string[];
  /** With the first pair. */
  readonly options: ServerOptions;
  readonly fingerprint: string;
  /** What the revocation lists of clients say; undefined = there are none. */
  readonly revocations: Revocations | undefined;
  /** Who vouches for clients' SVIDs; undefined = theirs need be none. */
  readonly bundles: TrustBundles | undefined;
  /** What of other domains is not taken, and why. */
  readonly faults: readonly string[];
  readonly byName: CertificatesByName;
}

/** @throws Error when a file cannot be read or is not whole, or a key is not its certificate's */
export function readTlsFiles(files: TlsFiles): TlsContent {
  const clients = readClientFiles(files);
  const pairs = files.pairs.map(readPair);
  const svid = files.trustDomain === undefined ? undefined : readSvidChain(pairs[0]?.cert ?? "");
  if (svid?.trustDomain !== files.trustDomain)
    throw new Error(`${files.pairs[0]?.cert} is no SVID of the trust domain ${files.trustDomain}`);
  const { minVersion } = files;
  const secureOptions = secureOptionsOf(files);
  const all = pairs.map((pair) => ({ ...pair, ...clients.trust, minVersion, secureOptions }));
  // Of the first, too: what does not fit together is told here, before any of it is in force.
  const contexts = all.map((options) => createSecureContext(options));
  const [first] = all;
  return {
    chains: pairs.map(({ cert }) => cert),
    options: { ...first, ...clients.asking },
    revocations: clients.revocations,
    bundles: clients.bundles,
    faults: clients.faults,
    fingerprint: JSON.stringify([pairs, clients.trust, clients.faults]),
    byName: new CertificatesByName(pairs.map(({ cert }, index) => [cert, contexts[index] as SecureContext])),
  };
}

function secureOptionsOf({ clientCrl, federatedBundles }: TlsFiles): number {
  const { SSL_OP_NO_RENEGOTIATION: sameClient, SSL_OP_NO_TICKET: noTicket } = constants;
  // A client that is verified could go on, by TLS 1.2, with a certificate that nobody vouches for. Sessions that are
  // resumed hold to what was found at first, past the end of a list, and without what the client sent with it.
  return clientCrl === undefined && federatedBundles === undefined ? sameClient : sameClient | noTicket;
}

function readClientFiles({ clientCa, clientCrl, trustDomain, federatedBundles }: TlsFiles) {
  if (clientCa === undefined)
    return { trust: {}, asking: {}, revocations: undefined, bundles: undefined, faults: [] };
  const own = readCertificates(clientCa);
  const others =
    trustDomain === undefined || federatedBundles === undefined
      ? undefined
      : readFederatedBundles(federatedBundles, trustDomain);
  const ca = [own, ...(others?.bundles.values() ?? [])];
  const lists = clientCrl === undefined ? undefined : readRevocationLists(clientCrl);
  const crl = lists === undefined ? {} : { crl: lists };
  return {
    trust: { ca, ...crl },
    // A client without a certificate still connects: whether it needs one is the policy's to say.
    asking: { requestCert: true, rejectUnauthorized: false },
    revocations: lists && revocationsOf(lists, own, clientCrl),
    bundles: trustDomain === undefined ? undefined : new TrustBundles(trustDomain, own, others?.bundles),
    faults: others?.faults ?? [],
  };
}

function revocationsOf(lists: readonly string[], ca: string, file = ""): Revocations {
  try {
    return new Revocations(
      lists,
      certificatesIn(ca).map((each) => new X509Certificate(each).raw),
    );
  } catch (error) {
    throw new Error(`${file} holds a list that is no DER inside its PEM`, { cause: error });
  }
}
