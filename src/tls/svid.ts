// Reads X.509 SVIDs: certificates that name the workload that shows them (X509-SVID of the SPIFFE specifications).
import { X509Certificate } from "node:crypto";
import { parseSpiffeId, type SpiffeId } from "../language/spiffe-id.ts";
import { type Element, elementsIn } from "./der.ts";
import { certificatesIn } from "./pem.ts";

export interface Svid extends SpiffeId {
  /** Epoch milliseconds. */
  readonly endsMs: number;
}

const tags = { octets: 0x04, oid: 0x06, uri: 0x86, extensions: 0xa3 };
/** RFC 5280 sections 4.2.1.3 and 4.2.1.6. */
const oids = { keyUsage: "551d0f", alternativeNames: "551d11" };
/** keyCertSign and cRLSign, in the first byte of the bit string. */
const signs = 0x06;

/** @returns undefined if the certificate is no leaf SVID (sections 2, 4 and 5.2) and thus names no workload */
export function readSvid(certificate: X509Certificate): Svid | undefined {
  const endsMs = certificate.validToDate.getTime();
  if (certificate.ca || Number.isNaN(endsMs)) return undefined;
  try {
    const extensions = extensionsOf(certificate.raw);
    const usage = extensions.get(oids.keyUsage);
    const [bits] = usage === undefined ? [] : elementsIn(usage);
    if (((bits?.content[1] ?? 0) & signs) !== 0) return undefined;
    const [names] = elementsIn(extensions.get(oids.alternativeNames) ?? Buffer.alloc(0));
    const uris = elementsIn(names?.content ?? Buffer.alloc(0)).filter(({ tag }) => tag === tags.uri);
    // Exactly one URI: with several, each reader would pick its own.
    const [uri] = uris;
    if (uri === undefined || uris.length > 1) return undefined;
    const id = parseSpiffeId(uri.content.toString("latin1"));
    return id && { ...id, endsMs };
  } catch {
    return undefined; // This is no DER that can be parsed here.
  }
}

/** Reads the first certificate of a PEM chain, which is the holder's own. */
export function readSvidChain(chain: string): Svid | undefined {
  const [leaf] = certificatesIn(chain);
  return leaf === undefined ? undefined : readSvid(new X509Certificate(leaf));
}

/**
 * The extensions by their identifiers in hex. @throws RangeError if `der` is no certificate, or has an extension twice
 * (RFC 5280 section 4.2)
 */
export function extensionsOf(der: Buffer): Map<string, Buffer> {
  const [certificate] = elementsIn(der);
  const [body] = elementsIn(certificate?.content ?? Buffer.alloc(0));
  const wrapped = elementsIn(body?.content ?? Buffer.alloc(0)).find(({ tag }) => tag === tags.extensions);
  const [list] = elementsIn(wrapped?.content ?? Buffer.alloc(0));
  const found = new Map<string, Buffer>();
  for (const { content } of elementsIn(list?.content ?? Buffer.alloc(0))) {
    const parts = elementsIn(content);
    const id = bytesOf(parts, tags.oid).toString("hex");
    if (found.has(id)) throw new RangeError("an extension is there twice");
    found.set(id, bytesOf(parts, tags.octets));
  }
  return found;
}

function bytesOf(parts: readonly Element[], tag: number): Buffer {
  const part = parts.find((each) => each.tag === tag);
  if (part === undefined) throw new RangeError("no extension");
  return part.content;
}
