// Makes heads of the PROXY protocol, version 2, valid ones and invalid ones. The checksum is table-driven here and
// bitwise in the product, so that each checks the other.
import { isIPv4 } from "node:net";
import ipaddr from "ipaddr.js";

export interface HeadParts {
  /** The client's address. */
  readonly from?: string;
  /** Version and command; default: 2, PROXY. */
  readonly command?: number;
  readonly family?: number;
  readonly addresses?: Buffer;
  readonly tlvs?: readonly Buffer[];
  readonly checksum?: boolean;
}

export function proxyV2({
  from = "192.0.2.7",
  command = 0x21,
  checksum = false,
  ...parts
}: HeadParts): Buffer {
  const address = Buffer.from(ipaddr.parse(from).toByteArray());
  const { family = isIPv4(from) ? 0x11 : 0x21 } = parts;
  const { addresses = Buffer.concat([address, address, Buffer.from([0x30, 0x39, 1, 0xbb])]) } = parts;
  const sum = tlv(0x03, Buffer.alloc(4));
  const rest = Buffer.concat([addresses, ...(parts.tlvs ?? []), ...(checksum ? [sum] : [])]);
  const head = Buffer.from("\r\n\r\n\0\r\nQUIT\n\0\0\0\0", "latin1");
  head.writeUInt8(command, 12);
  head.writeUInt8(family, 13);
  head.writeUInt16BE(rest.length, 14);
  const whole = Buffer.concat([head, rest]);
  if (checksum) whole.writeUInt32BE(crc32c(whole), whole.length - 4);
  return whole;
}

export function tlv(type: number, value: string | Buffer): Buffer {
  const bytes = Buffer.from(value as string);
  const head = Buffer.from([type, 0, 0]);
  head.writeUInt16BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

const table = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0x82f63b78 ^ (value >>> 1) : value >>> 1;
  return value;
});

function crc32c(bytes: Buffer): number {
  let sum = ~0;
  for (const byte of bytes) sum = (table[(sum ^ byte) & 0xff] as number) ^ (sum >>> 8);
  return ~sum >>> 0;
}
