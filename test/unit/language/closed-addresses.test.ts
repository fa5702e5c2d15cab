// Link-local and metadata addresses are closed in whatever form they are written or resolved.
import assert from "node:assert/strict";
import { test } from "node:test";
import { isClosedAddress, lookupOpen } from "../../../src/language/closed-addresses.ts";
import { createHttpClient } from "../../../src/runtime/http-client.ts";

const closed = [
  "169.254.169.254",
  "169.254.0.1",
  "::ffff:169.254.169.254",
  "[::ffff:a9fe:a9fe]",
  "::a9fe:a9fe",
  "64:ff9b::a9fe:a9fe",
  "2002:a9fe:a9fe::1",
  "fe80::1",
  "fe80::1%eth0",
  "febf::1",
  "fd00:ec2::254",
  "fd20:ce::254",
  "100.100.100.200",
  "168.63.129.16",
];
const open = [
  "127.0.0.1",
  "::1",
  "10.0.0.1",
  "169.253.1.1",
  "fec0::1",
  "fd00:ec2::253",
  "2001:db8::1",
  "id.example",
];

test("closed addresses are told from open ones", () => {
  assert.deepEqual(
    closed.filter((address) => !isClosedAddress(address)),
    [],
  );
  assert.deepEqual(open.filter(isClosedAddress), []);
});

const resolve = (name: string, all: boolean): Promise<unknown> =>
  new Promise((settle) => {
    lookupOpen(name, { all }, (error, address) => settle(error?.code ?? address));
  });

test("what a name resolves to is judged, and is what is connected to", async () => {
  // The resolver reads numbers as inet_aton does, so that no name server is needed here.
  for (const name of ["0xa9fea9fe", "2852039166", "169.254.43518"]) {
    assert.equal(await resolve(name, false), "ERR_CLOSED_ADDRESS", name);
    assert.equal(await resolve(name, true), "ERR_CLOSED_ADDRESS", name);
  }
  assert.equal(await resolve("127.0.0.1", false), "127.0.0.1");
  assert.deepEqual(await resolve("127.0.0.1", true), [{ address: "127.0.0.1", family: 4 }]);
  assert.equal(await resolve("no-such-name.invalid", true), "ENOTFOUND");
});

test("a plugin's own call to one fails before a connection, and says why", async () => {
  const client = createHttpClient();
  const call = client.request({ url: "https://169.254.169.254/x", timeoutMs: 500, maxBodyBytes: 10 });
  await assert.rejects(call, /169\.254\.169\.254: .*link-local/);
});
