// Heads of the PROXY protocol, versions 1 (text) and 2 (binary), as HAProxy's proxy-protocol.txt defines them: read from
// the first bytes of a connection.
import { isIP } from "node:net";
import { crc32c } from "./crc32c.ts";
import { readAddress } from "../client/client-address.ts";

/** Breaks the rules of the protocol: the connection must be dropped. */
export class ProxyHeadError extends Error {
  override readonly name = "ProxyHeadError";
}

export interface ProxyHead {
  /** How many bytes it takes. */
  readonly length: number;
  /** Where the client is: plain, or "unknown" when it has no address. Absent: the proxy itself is the client. */
  readonly source: string | undefined;
}

const signature = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const word = Buffer.from("PROXY ", "latin1");
/** With its line end (section 2.1). */
const maxLineLength = 107;
/** Section 2.2: addresses take 216 bytes; the rest is room for extensions, of which certificates' names are the longest. */
const maxBinaryLength = 4_096;
const fixedBytes = 16;
const extensionCrc32c = 0x03;

/**
 * @returns undefined = more bytes are needed
 * @throws ProxyHeadError as soon as it is none
 */
export function readProxyHead(bytes: Buffer): ProxyHead | undefined {
  if (beginsAs(bytes, signature)) return bytes.length < fixedBytes ? undefined : readBinary(bytes);
  if (beginsAs(bytes, word)) return readLine(bytes);
  throw new ProxyHeadError("does not begin with a PROXY head");
}

function beginsAs(bytes: Buffer, expected: Buffer): boolean {
  const length = Math.min(bytes.length, expected.length);
  return bytes.compare(expected, 0, length, 0, length) === 0;
}

function readLine(bytes: Buffer): ProxyHead | undefined {
  const end = bytes.subarray(0, maxLineLength).indexOf("\r\n");
  if (end === -1) {
    if (bytes.length >= maxLineLength) throw new ProxyHeadError("has a PROXY line that is too long");
    return undefined;
  }
  const length = end + 2;
  const parts = bytes.toString("latin1", word.length, end).split(" ");
  // Section 2.1: whatever follows is to be ignored.
  if (parts[0] === "UNKNOWN") return { length, source: "unknown" };
  const [family, source = "", destination = "", from = "", to = "", ...rest] = parts;
  const version = family === "TCP4" ? 4 : family === "TCP6" ? 6 : 0;
  const isRight =
    version !== 0 &&
    [source, destination].every((address) => isIP(address) === version && !address.includes("%")) &&
    [from, to].every((port) => /^(?:0|[1-9]\d{0,4})$/.test(port) && Number(port) <= 65_535) &&
    rest.length === 0;
  if (!isRight) throw new ProxyHeadError("has a malformed PROXY line");
  return { length, source: readAddress(source) };
}

function readBinary(bytes: Buffer): ProxyHead | undefined {
  const [version, command] = nibbles(bytes[12] as number);
  const length = fixedBytes + bytes.readUInt16BE(14);
  if (version !== 2 || command > 1)
    throw new ProxyHeadError("has a PROXY head of a version or command that is unknown");
  if (length > maxBinaryLength) throw new ProxyHeadError("has a PROXY head that is too long");
  if (bytes.length < length) return undefined;
  const head = bytes.subarray(0, length);
  // LOCAL: the proxy asks for itself, and whatever else the head says, its family too, is to be ignored (section 2.2).
  if (command === 0) return { length, source: undefined };
  const { source, addressBytes } = readAddresses(head);
  checkExtensions(head, fixedBytes + addressBytes);
  return { length, source };
}

function nibbles(byte: number): [high: number, low: number] {
  return [byte >> 4, byte & 0x0f];
}

/** Of each family: how many bytes both ends take (section 2.2). */
const addressBytesOf = [0, 12, 36, 216] as const;

function readAddresses(head: Buffer): { source: string; addressBytes: number } {
  const [family, transport] = nibbles(head[13] as number);
  const addressBytes = addressBytesOf[family];
  if (addressBytes === undefined || transport > 2)
    throw new ProxyHeadError("has a PROXY head with an address of an unknown kind");
  if (head.length < fixedBytes + addressBytes)
    throw new ProxyHeadError("has a PROXY head too short for its addresses");
  if (family === 1) return { source: head.subarray(16, 20).join("."), addressBytes };
  if (family === 2) return { source: ipv6Text(head.subarray(16, 32)), addressBytes };
  // A unix socket of the proxy's is none of ours: whoever is behind it has not the trust of those that open ours.
  return { source: "unknown", addressBytes };
}

function ipv6Text(bytes: Buffer): string {
  return readAddress(bytes.toString("hex").replace(/.{4}(?!$)/g, "$&:"));
}

/** They say nothing that is needed here, but must fit, and a checksum must be right where there is one (section 2.2.4). */
function checkExtensions(head: Buffer, start: number): void {
  let at = start;
  while (at < head.length) {
    const next = at + 3 + (at + 3 <= head.length ? head.readUInt16BE(at + 1) : 0);
    if (next > head.length) throw new ProxyHeadError("has a PROXY head with a malformed extension");
    if (head[at] === extensionCrc32c) checkSum(head, at + 3, next);
    at = next;
  }
}

function checkSum(head: Buffer, from: number, to: number): void {
  const summed = Buffer.from(head).fill(0, from, to);
  if (to - from !== 4 || head.readUInt32BE(from) !== crc32c(summed))
    throw new ProxyHeadError("has a PROXY head whose checksum is wrong");
}
