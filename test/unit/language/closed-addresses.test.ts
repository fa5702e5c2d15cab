// Link-local and metadata addresses are closed in whatever form they are written or resolved.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  isClosedAddress,
  isPublicAddress,
  lookupOpen,
  lookupPublic,
} from "../../../src/language/closed-addresses.ts";
import { createHttpClient } from "../../../src/runtime/services/http/client.ts";

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

test("public addresses are told from those of a network of one's own", () => {
  const own = [
    "127.0.0.1",
    "::1",
    "0.0.0.0",
    "10.0.0.1",
    "192.168.1.1",
    "172.16.0.1",
    "100.64.0.1",
    "224.0.0.1",
    "fec0::1",
  ];
  const carried = [
    "::ffff:10.0.0.1",
    "::10.0.0.1",
    "64:ff9b::10.0.0.1",
    "2002:a00:1::1",
    "fd00::1",
    "[fd00::1%eth0]",
    "2001:db8::1",
  ];
  assert.deepEqual([...closed, ...own, ...carried].filter(isPublicAddress), ["168.63.129.16"]);
  const everybodys = [
    "8.8.8.8",
    "[2001:4860::1]",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2002:808:808::1",
    "id.example",
  ];
  assert.deepEqual(
    everybodys.filter((address) => !isPublicAddress(address)),
    [],
  );
});

const resolve = (name: string, all: boolean, lookup = lookupOpen): Promise<unknown> =>
  new Promise((settle) => {
    lookup(name, { all }, (error, address) => settle(error?.code ?? address));
  });

test("what a name resolves to is judged, and is what is connected to", async () => {
  // The resolver reads numbers as inet_aton does, so that no name server is needed here.
  for (const name of ["0xa9fea9fe", "2852039166", "169.254.43518"]) {
    assert.equal(await resolve(name, false), "ERR_CLOSED_ADDRESS", name);
    assert.equal(await resolve(name, true), "ERR_CLOSED_ADDRESS", name);
  }
  assert.equal(await resolve("127.0.0.1", false), "127.0.0.1");
  assert.deepEqual(await resolve("127.0.0.1", true), [{ address: "127.0.0.1", family: 4 }]);
  assert.equal(await resolve("127.1", true, lookupPublic), "ERR_PRIVATE_ADDRESS");
  assert.equal(await resolve("0xa9fea9fe", true, lookupPublic), "ERR_CLOSED_ADDRESS");
  assert.equal(await resolve("8.8.8.8", false, lookupPublic), "8.8.8.8");
  assert.equal(await resolve("no-such-name.invalid", true), "ENOTFOUND");
});

test("a plugin's own call to one fails before a connection, and says why", async () => {
  const client = createHttpClient();
  const call = client.request({ url: "https://169.254.169.254/x", timeoutMs: 500, maxBodyBytes: 10 });
  await assert.rejects(call, /169\.254\.169\.254: .*link-local/);
});
