// Reads the listener's certificates, keys, client authorities and revocation lists from their files.
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
  /** The first pair is shown to clients that name no host, or one that no other pair covers. */
  readonly pairs: readonly Pair[];
  /** If present, clients are asked for certificates, which are checked against these authorities. */
  readonly clientCa: string | undefined;
  /** If present, a certificate counts only if no list names it and every authority of its chain has a list. */
  readonly clientCrl: string | undefined;
  readonly minVersion: "TLSv1.2" | "TLSv1.3";
  /** The certificate must be an SVID of this trust domain, whose authorities are in `clientCa`. */
  readonly trustDomain?: string | undefined;
  /** Folder with the authorities of other trust domains. */
  readonly federatedBundles?: string | undefined;
}

export interface TlsContent {
  readonly chains: readonly string[];
  /** Contains the first pair. */
  readonly options: ServerOptions;
  readonly fingerprint: string;
  /** The clients' revocation lists; undefined = there are none. */
  readonly revocations: Revocations | undefined;
  /** The authorities for clients' SVIDs; undefined = certificates need not be SVIDs. */
  readonly bundles: TrustBundles | undefined;
  /** Bundles of other trust domains that are not used, and why. */
  readonly faults: readonly string[];
  readonly byName: CertificatesByName;
}

/** @throws Error if a file cannot be read or is incomplete, or a key does not belong to its certificate */
export function readTlsFiles(files: TlsFiles): TlsContent {
  const clients = readClientFiles(files);
  const pairs = files.pairs.map(readPair);
  const svid = files.trustDomain === undefined ? undefined : readSvidChain(pairs[0]?.cert ?? "");
  if (svid?.trustDomain !== files.trustDomain)
    throw new Error(`${files.pairs[0]?.cert} is no SVID of the trust domain ${files.trustDomain}`);
  const { minVersion } = files;
  const secureOptions = secureOptionsOf(files);
  const all = pairs.map((pair) => ({ ...pair, ...clients.trust, minVersion, secureOptions }));
  // For the first pair, too: options that do not fit together must fail here, before any of them is in force.
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
  // Renegotiation, by TLS 1.2, could replace a verified certificate by one that no authority vouches for. Resumed
  // sessions keep the first verdict, past the end of a list, and without the certificates that the client sent with its
  // own.
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
    // A client without a certificate still connects: the policy decides whether it needs one.
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
