// Reads the bundles of other trust domains from the files of one folder: `<trust domain>.pem`. Without a valid bundle,
// no SVID of its domain is trusted. What others publish must neither stop this sidecar nor be used from an older state.
import { X509Certificate } from "node:crypto";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { isTrustDomain } from "../language/spiffe-id.ts";
import { readCertificates } from "./read-files.ts";
import { certificatesIn } from "./pem.ts";

const ending = ".pem";
const maxDomains = 64;
const maxBytes = 65_536;
/** Each handshake names all authorities to the client, and OpenSSL refuses such a message over 100 KB. */
const maxNameBytes = 1_024;

export interface FederatedBundles {
  /** PEM bundles by trust domain. */
  readonly bundles: ReadonlyMap<string, string>;
  /** The bundles that were not used, and why. */
  readonly faults: readonly string[];
}

/** @param own the sidecar's own trust domain: a file for it is not used */
export function readFederatedBundles(folder: string, own: string): FederatedBundles {
  const bundles = new Map<string, string>();
  const faults: string[] = [];
  let names: string[] = [];
  try {
    names = readdirSync(folder).filter((name) => name.endsWith(ending));
  } catch (error) {
    faults.push(`${folder} cannot be read: ${(error as NodeJS.ErrnoException).code}`);
  }
  for (const name of names.sort()) {
    const domain = name.slice(0, -ending.length);
    try {
      if (bundles.size >= maxDomains) throw new Error(`there are more than ${maxDomains} bundles`);
      if (!isTrustDomain(domain)) throw new Error("its name is that of no trust domain");
      if (domain === own)
        throw new Error("it is our own trust domain, for which OUTRIGGER_SPIFFE_BUNDLE stands");
      bundles.set(domain, readBundle(join(folder, name)));
    } catch (error) {
      faults.push(`${join(folder, name)}: ${(error as Error).message}`);
    }
  }
  return { bundles, faults };
}

/** @throws Error if the file cannot be read, is incomplete, or is no bundle of authorities */
export function readBundle(path: string): string {
  const found = statSync(path);
  if (!found.isFile() || found.size > maxBytes) throw new Error(`it is no file of at most ${maxBytes} bytes`);
  const pem = readCertificates(path);
  let named = 0;
  for (const each of certificatesIn(pem)) {
    const { ca, subject } = new X509Certificate(each);
    if (!ca) throw new Error("it holds a certificate that is no authority's");
    named += Buffer.byteLength(subject ?? "");
  }
  if (named > maxNameBytes) throw new Error(`its authorities' names take more than ${maxNameBytes} bytes`);
  return pem;
}
