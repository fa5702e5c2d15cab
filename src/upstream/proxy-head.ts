// Writes PROXY protocol heads (HAProxy's proxy-protocol.txt) that tell a service whose client a connection is for.
// Ports are 0 and the destination is the unspecified address, since one connection stands for all those of its client.
import { isIP } from "node:net";

export type ProxyProtocol = "v1" | "v2";

const signature = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const [local, proxied] = [0x20, 0x21];
const [unspecified, tcp4, tcp6] = [0x00, 0x11, 0x21];
/** Length of both ports together. */
const portBytes = 4;

/** @param client a plain address, or another text if there is none; undefined = the sidecar connects for itself */
export function proxyHead(version: ProxyProtocol, client: string | undefined): Buffer {
  const family = isIP(client ?? "");
  return version === "v1" ? lineOf(family, client) : binaryOf(family, client);
}

/** Version 1 cannot name the sidecar itself: with UNKNOWN, receivers use the connection's address (section 2.1). */
function lineOf(family: number, client = ""): Buffer {
  if (family === 0) return Buffer.from("PROXY UNKNOWN\r\n", "latin1");
  const destination = family === 4 ? "0.0.0.0" : "::";
  return Buffer.from(`PROXY TCP${family} ${client} ${destination} 0 0\r\n`, "latin1");
}

function binaryOf(family: number, client: string | undefined): Buffer {
  const source = family === 4 ? ipv4Bytes(client ?? "") : family === 6 ? ipv6Bytes(client ?? "") : [];
  const kind = family === 4 ? tcp4 : family === 6 ? tcp6 : unspecified;
  const length = family === 0 ? 0 : 2 * source.length + portBytes;
  const addresses = Buffer.alloc(length);
  addresses.set(source);
  const fixed = [client === undefined ? local : proxied, kind, 0, length];
  return Buffer.concat([signature, Buffer.from(fixed), addresses]);
}

const ipv4Bytes = (address: string): number[] => address.split(".").map(Number);

/** Parsing as a URL gives the canonical spelling: only hexadecimal words. */
function ipv6Bytes(address: string): number[] {
  const text = new URL(`http://[${address}]`).hostname.slice(1, -1);
  const [before = "", after] = text.split("::");
  const [head, tail] = [words(before), words(after ?? "")];
  const all = [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => 0), ...tail];
  return all.flatMap((word) => [word >> 8, word & 0xff]);
}

const words = (part: string): number[] =>
  part === "" ? [] : part.split(":").map((word) => parseInt(word, 16));
