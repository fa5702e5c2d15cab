// Which certificates revocation lists name (RFC 5280 section 5.1): for connections that stand, at which OpenSSL looked once.
import type { X509Certificate } from "node:crypto";
import { type Element, elementsIn } from "./der.ts";

const tags = { integer: 0x02, oid: 0x06, sequence: 0x30 };
const times = new Set([0x17, 0x18]);
const nothing: Element = { tag: 0, content: Buffer.alloc(0) };

export class Revocations {
  /** Serial numbers in hex, by the name of who issued them. */
  readonly #serials = new Map<string, Set<string>>();

  /** @param lists in PEM, whole ones that OpenSSL takes. @throws RangeError where one is no list after all */
  constructor(lists: readonly string[]) {
    for (const list of lists) this.#read(Buffer.from(list.replace(/-----[A-Z0-9 ]+-----/g, ""), "base64"));
  }

  /** @param chain a certificate and those that vouch for it, in DER */
  names(chain: readonly Buffer[]): boolean {
    return chain.some((der) => {
      const { issuer, serial } = holderOf(der);
      return this.#serials.get(issuer)?.has(serial) === true;
    });
  }

  #read(der: Buffer): void {
    const [body = nothing] = elementsIn(sequenceIn(der).content);
    const parts = elementsIn(body.content);
    // Version, where it is there, and the algorithm come first.
    const [issuer = nothing, ...rest] = parts.slice(parts[0]?.tag === tags.integer ? 2 : 1);
    if (issuer.tag !== tags.sequence) throw new RangeError("no issuer");
    const revoked = rest.find(({ tag }) => !times.has(tag));
    const name = nameOf(issuer);
    const serials = this.#serials.get(name) ?? new Set();
    this.#serials.set(name, serials);
    if (revoked?.tag !== tags.sequence) return;
    for (const { content } of elementsIn(revoked.content)) serials.add(serialOf(elementsIn(content)[0]));
  }
}

function sequenceIn(der: Buffer): Element {
  const [element] = elementsIn(der);
  if (element?.tag !== tags.sequence) throw new RangeError("no sequence");
  return element;
}

/** Whom a certificate's list knows it by. */
function holderOf(der: Buffer): { issuer: string; serial: string } {
  const [body = nothing] = elementsIn(sequenceIn(der).content);
  const parts = elementsIn(body.content);
  // The version, where it is there, is wrapped.
  const [serial, , issuer] = parts[0]?.tag === tags.integer ? parts : parts.slice(1);
  return { issuer: nameOf(issuer ?? nothing), serial: serialOf(serial) };
}

function serialOf(element: Element = nothing): string {
  if (element.tag !== tags.integer) throw new RangeError("no serial number");
  return element.content.toString("hex");
}

/** Texts alike but for case, spaces and kind of string are one name (section 7.1). */
function nameOf({ content }: Element): string {
  const parts = elementsIn(content).map((set) =>
    elementsIn(set.content).map((pair) => {
      const [type = nothing, value = nothing] = elementsIn(pair.content);
      const text = value.content.toString("latin1").trim().replace(/\s+/g, " ").toLowerCase();
      return `${type.content.toString("hex")}=${text}`;
    }),
  );
  return JSON.stringify(parts);
}

/** Unpacks what a connection tells of its client: its certificate, and those that vouch for it. */
export function chainOf(certificate: X509Certificate | undefined): Buffer[] {
  const chain: Buffer[] = [];
  // A root vouches for itself.
  for (let each = certificate; each !== undefined && chain.length < 16; each = each.issuerCertificate) {
    if (chain.at(-1)?.equals(each.raw) === true) break;
    chain.push(each.raw);
  }
  return chain;
}
