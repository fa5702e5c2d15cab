// Parses PROXY protocol heads, versions 1 (text) and 2 (binary), as HAProxy's proxy-protocol.txt defines them, from the
// first bytes of a connection.
import { isIP } from "node:net";
import { crc32c } from "./crc32c.ts";
import { readAddress } from "../client/client-address.ts";

/** The bytes break the rules of the protocol: the connection must be dropped. */
export class ProxyHeadError extends Error {
  override readonly name = "ProxyHeadError";
}

export interface ProxyHead {
  /** The length of the head in bytes. */
  readonly length: number;
  /** The client's address: plain, or "unknown" if it has none. Absent: the proxy itself is the client. */
  readonly source: string | undefined;
}

const signature = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const word = Buffer.from("PROXY ", "latin1");
/** Including its line end (section 2.1). */
const maxLineLength = 107;
/**
 * Section 2.2: addresses take up to 216 bytes. The rest is for extensions, of which certificates' names are longest.
 */
const maxBinaryLength = 4_096;
const fixedBytes = 16;
const extensionCrc32c = 0x03;

/**
 * @returns undefined = more bytes are needed
 * @throws ProxyHeadError as soon as the bytes cannot be a head
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
  // Section 2.1: ignore whatever follows.
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
  // LOCAL: the proxy connects for itself. Section 2.2 says to ignore the rest of the head, even its family.
  if (command === 0) return { length, source: undefined };
  const { source, addressBytes } = readAddresses(head);
  checkExtensions(head, fixedBytes + addressBytes);
  return { length, source };
}

function nibbles(byte: number): [high: number, low: number] {
  return [byte >> 4, byte & 0x0f];
}

/** The number of bytes that both addresses take, by address family (section 2.2). */
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
  // A unix socket of the proxy's is none of the sidecar's: its clients lack the trust of those of the sidecar's
  // sockets.
  return { source: "unknown", addressBytes };
}

function ipv6Text(bytes: Buffer): string {
  return readAddress(bytes.toString("hex").replace(/.{4}(?!$)/g, "$&:"));
}

/** Extensions are not needed here, but must fit, and a checksum must be right if present (section 2.2.4). */
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
