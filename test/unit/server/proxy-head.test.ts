// Heads of the PROXY protocol, byte by byte.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ProxyHeadError, readProxyHead } from "../../../src/server/proxy-head.ts";
import { proxyV2, tlv } from "../../support/proxy-heads.ts";

const sourceOf = (bytes: Buffer | string): string | undefined => {
  const head = readProxyHead(Buffer.from(bytes as string, "latin1"));
  assert.ok(head, "more was asked for");
  assert.equal(head.length, bytes.length);
  return head.source;
};
const refused = (bytes: Buffer | string): void =>
  assert.throws(() => readProxyHead(Buffer.from(bytes as string, "latin1")), ProxyHeadError);

describe("a PROXY line (version 1)", () => {
  it("names the client in the form in which every rule meets addresses", () => {
    assert.equal(sourceOf("PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"), "192.0.2.7");
    assert.equal(sourceOf("PROXY TCP6 2001:db8::7 2001:db8::1 0 65535\r\n"), "2001:db8::7");
    assert.equal(sourceOf("PROXY TCP6 2001:0DB8:0::7 ::1 1 2\r\n"), "2001:db8::7");
    assert.equal(sourceOf("PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n"), "192.0.2.7");
  });

  it("may not know the client, whatever follows", () => {
    assert.equal(sourceOf("PROXY UNKNOWN\r\n"), "unknown");
    assert.equal(sourceOf("PROXY UNKNOWN 1.2.3.4 whatever\r\n"), "unknown");
  });

  it("is exact", () => {
    for (const line of [
      "PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
      "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 1\r\n",
      "PROXY TCP4  192.0.2.7 198.51.100.1 56324 443\r\n",
      "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 \r\n",
      "PROXY TCP4 192.0.2.07 198.51.100.1 56324 443\r\n",
      "PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n",
      "PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n",
      "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
      "PROXY TCP4 192.0.2.7 198.51.100.1 056 443\r\n",
      "PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n",
      "PROXY TCP4 192.0.2.7 198.51.100.1 -1 443\r\n",
      "PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n",
      "PROXY tcp4 192.0.2.7 198.51.100.1 1 2\r\n",
      "PROXY \r\n",
      "PROXY UNKNOWNX\r\n",
      "GET / HTTP/1.1\r\n",
      "\r\nPROXY UNKNOWN\r\n",
    ])
      refused(line);
  });

  it("has 107 bytes at most, and ends nowhere but at CRLF", () => {
    const line = (fill: number): string => `PROXY UNKNOWN ${"x".repeat(fill)}`;
    assert.equal(sourceOf(`${line(91)}\r\n`), "unknown");
    refused(`${line(92)}\r\n`);
    assert.equal(readProxyHead(Buffer.from(line(90))), undefined);
    assert.equal(readProxyHead(Buffer.from("PROXY UNKNOWN\n")), undefined);
  });
});

describe("a PROXY head (version 2)", () => {
  it("names the client: IPv4, IPv6, a unix socket, over streams and datagrams", () => {
    assert.equal(sourceOf(proxyV2({ from: "192.0.2.7" })), "192.0.2.7");
    assert.equal(sourceOf(proxyV2({ from: "192.0.2.7", family: 0x12 })), "192.0.2.7");
    assert.equal(sourceOf(proxyV2({ from: "2001:db8::7" })), "2001:db8::7");
    assert.equal(sourceOf(proxyV2({ from: "::ffff:192.0.2.7" })), "192.0.2.7");
    assert.equal(sourceOf(proxyV2({ family: 0x31, addresses: Buffer.alloc(216, "/") })), "unknown");
    assert.equal(sourceOf(proxyV2({ family: 0x00, addresses: Buffer.alloc(0) })), "unknown");
  });

  it("of LOCAL tells nothing but the proxy's own connection", () => {
    assert.equal(sourceOf(proxyV2({ command: 0x20, family: 0x00, addresses: Buffer.alloc(0) })), undefined);
    assert.equal(sourceOf(proxyV2({ command: 0x20, from: "192.0.2.7" })), undefined);
    // Whatever family it names, and whatever else it has, is not looked at.
    assert.equal(sourceOf(proxyV2({ command: 0x20, family: 0x11, addresses: Buffer.alloc(3) })), undefined);
    assert.equal(sourceOf(proxyV2({ command: 0x20, family: 0xf3, addresses: Buffer.alloc(5) })), undefined);
  });

  it("may have extensions that nobody knows, which must fit", () => {
    const known = [tlv(0x02, "name.example"), tlv(0x04, Buffer.alloc(3)), tlv(0xea, "vpce-1"), tlv(0x77, "")];
    assert.equal(sourceOf(proxyV2({ from: "192.0.2.7", tlvs: known })), "192.0.2.7");
    refused(proxyV2({ from: "192.0.2.7", tlvs: [Buffer.from([0x02, 0, 9, 1])] }));
    refused(proxyV2({ from: "192.0.2.7", tlvs: [Buffer.from([0x02, 0])] }));
  });

  it("is dropped when its checksum is wrong", () => {
    assert.equal(sourceOf(proxyV2({ from: "192.0.2.7", checksum: true })), "192.0.2.7");
    const wrong = proxyV2({ from: "192.0.2.7", checksum: true });
    wrong.writeUInt8(8, 19);
    refused(wrong);
    refused(proxyV2({ from: "192.0.2.7", tlvs: [tlv(0x03, "abc")] }));
  });

  it("is exact and bounded", () => {
    refused(proxyV2({ command: 0x11, from: "192.0.2.7" }));
    refused(proxyV2({ command: 0x22, from: "192.0.2.7" }));
    refused(proxyV2({ family: 0x41, addresses: Buffer.alloc(12) }));
    refused(proxyV2({ family: 0x13, addresses: Buffer.alloc(12) }));
    refused(proxyV2({ family: 0x11, addresses: Buffer.alloc(11) }));
    refused(proxyV2({ family: 0x21, addresses: Buffer.alloc(12) }));
    const long = (size: number): Buffer =>
      proxyV2({ from: "192.0.2.7", tlvs: [tlv(0x04, Buffer.alloc(size))] });
    assert.equal(sourceOf(long(4_096 - 16 - 12 - 3)), "192.0.2.7");
    // Before the bytes have come that it announces.
    refused(long(4_096 - 16 - 12 - 2).subarray(0, 16));
  });
});

it("is read alike however it is cut, and nothing makes it throw anything else", () => {
  const whole = [Buffer.from("PROXY TCP4 192.0.2.7 1.1.1.1 1 2\r\n"), proxyV2({ from: "2001:db8::7" })];
  for (const bytes of whole)
    for (let end = 0; end < bytes.length; end += 1)
      assert.equal(readProxyHead(bytes.subarray(0, end)), undefined);
  const start = fc.constantFrom(
    Buffer.from("PROXY "),
    proxyV2({ from: "1.2.3.4" }).subarray(0, 13),
    Buffer.alloc(0),
  );
  fc.assert(
    fc.property(start, fc.uint8Array({ maxLength: 300 }), (begun, rest) => {
      const bytes = Buffer.concat([begun, rest]);
      try {
        const head = readProxyHead(bytes);
        assert.ok(head === undefined || head.length <= bytes.length);
      } catch (error) {
        assert.ok(error instanceof ProxyHeadError, String(error));
      }
    }),
  );
});
