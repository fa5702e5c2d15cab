// Checks open connections against revocation lists (RFC 5280 section 5.1): OpenSSL checks only handshakes.
import type { X509Certificate } from "node:crypto";
import { type Element, elementsIn } from "./der.ts";

const tags = { integer: 0x02, oid: 0x06, sequence: 0x30 };
const times = new Set([0x17, 0x18]);
const nothing: Element = { tag: 0, content: Buffer.alloc(0) };

export class Revocations {
  /** Serial numbers in hex, by the name of their issuer. */
  readonly #serials = new Map<string, Set<string>>();
  /** Names of authorities whose certificates are no longer valid. */
  #authorities: ReadonlySet<string> = new Set();

  /**
   * @param lists in PEM, complete, and accepted by OpenSSL
   * @param authorities those known here, in DER: clients need not send them. @throws RangeError if a list is malformed
   * after all
   */
  constructor(lists: readonly string[], authorities: readonly Buffer[] = []) {
    for (const list of lists) this.#read(Buffer.from(list.replace(/-----[A-Z0-9 ]+-----/g, ""), "base64"));
    const known = authorities.map(holderOf);
    // Each round may find authorities whose own authority was found in the round before.
    for (let before = -1; this.#authorities.size > before;) {
      before = this.#authorities.size;
      const good = new Set(known.filter((each) => !this.#isNamed(each)).map(({ subject }) => subject));
      this.#authorities = new Set(known.map(({ subject }) => subject).filter((name) => !good.has(name)));
    }
  }

  /** Whether a list names one of the certificates. @param chain a certificate and its authorities, in DER */
  names(chain: readonly Buffer[]): boolean {
    return chain.some((der) => this.#isNamed(holderOf(der)));
  }

  #isNamed({ issuer, serial }: Holder): boolean {
    return this.#authorities.has(issuer) || this.#serials.get(issuer)?.has(serial) === true;
  }

  #read(der: Buffer): void {
    const [body = nothing] = elementsIn(sequenceIn(der).content);
    const parts = elementsIn(body.content);
    // The algorithm comes first, after the version if there is one.
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

/** The names by which a list refers to a certificate. */
interface Holder {
  readonly issuer: string;
  readonly serial: string;
  readonly subject: string;
}

function holderOf(der: Buffer): Holder {
  const [body = nothing] = elementsIn(sequenceIn(der).content);
  const parts = elementsIn(body.content);
  // The version, if there is one, is wrapped in a tag.
  const [serial, , issuer, , subject] = parts[0]?.tag === tags.integer ? parts : parts.slice(1);
  return {
    issuer: nameOf(issuer ?? nothing),
    serial: serialOf(serial),
    subject: nameOf(subject ?? nothing),
  };
}

function serialOf(element: Element = nothing): string {
  if (element.tag !== tags.integer) throw new RangeError("no serial number");
  return element.content.toString("hex");
}

/** Two names are the same if they differ only in case, spaces and string type (section 7.1). */
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

/** The certificate chain of a client: its certificate and those sent with it, whose number OpenSSL bounds. */
export function chainOf(certificate: X509Certificate | undefined): Buffer[] {
  const chain: Buffer[] = [];
  // A root is its own issuer.
  for (let each = certificate; each !== undefined; each = each.issuerCertificate) {
    if (chain.at(-1)?.equals(each.raw) === true) break;
    chain.push(each.raw);
  }
  return chain;
}
