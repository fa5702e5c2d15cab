import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parseCidrs } from "../../../src/config/formats.ts";
import { Fields } from "../../../src/plugin-api/fields.ts";
import { addHop, plainAddress, TrustedProxies } from "../../../src/client/client-address.ts";
import { isForwardedField } from "../../../src/language/field-sets.ts";

const proxies = new TrustedProxies(parseCidrs("10.0.0.0/8,fd00::/8"));
const resolve = (peer: string, ...fields: string[]): string =>
  proxies.resolve(peer, new Fields(fields)).address;

describe("the client's address", () => {
  it("is the peer, whatever an untrusted peer says", () => {
    assert.equal(resolve("203.0.113.9", "X-Forwarded-For", "1.2.3.4"), "203.0.113.9");
    assert.equal(
      new TrustedProxies([]).resolve("10.0.0.1", new Fields(["X-Forwarded-For", "1.2.3.4"])).address,
      "10.0.0.1",
    );
  });

  it("behind trusted proxies is the last hop that none of them added", () => {
    assert.equal(resolve("10.0.0.1", "X-Forwarded-For", "1.2.3.4"), "1.2.3.4");
    assert.equal(resolve("10.0.0.1", "X-Forwarded-For", "6.6.6.6, 1.2.3.4, 10.0.0.2"), "1.2.3.4");
    assert.equal(resolve("fd00::1", "X-Forwarded-For", "2001:db8::7"), "2001:db8::7");
    assert.equal(resolve("::ffff:10.0.0.1", "X-Forwarded-For", "1.2.3.4"), "1.2.3.4");
  });

  it("several lines of the field are one list", () => {
    assert.equal(resolve("10.0.0.1", "X-Forwarded-For", "6.6.6.6", "x-forwarded-for", "1.2.3.4"), "1.2.3.4");
  });

  it("ports and brackets of hops are cut, and a hop that is no address ends belief", () => {
    assert.equal(resolve("10.0.0.1", "X-Forwarded-For", "1.2.3.4:5678"), "1.2.3.4");
    assert.equal(resolve("10.0.0.1", "X-Forwarded-For", "[2001:db8::7]:443"), "2001:db8::7");
    assert.equal(resolve("10.0.0.1", "X-Forwarded-For", "1.2.3.4, unknown"), "10.0.0.1");
    assert.equal(resolve("10.0.0.1", "X-Forwarded-For", "1.2.3.4, , 10.0.0.2"), "10.0.0.2");
  });

  it("a zone is cut, of a hop and of the peer itself, before any list is asked", () => {
    for (const zone of ["%br-0", "%eth0", "%1", "%a.b"]) {
      assert.equal(resolve("10.0.0.1", "X-Forwarded-For", `fe80::1${zone}`), "fe80::1");
      assert.deepEqual(proxies.resolve(`fe80::1${zone}`, new Fields([])), {
        address: "fe80::1",
        peer: "fe80::1",
        viaTrustedProxy: false,
      });
    }
    assert.equal(new TrustedProxies(parseCidrs("fe80::/10")).trusts(plainAddress("fe80::1%br-0")), true);
  });

  it("IPv4 mapped into IPv6 is IPv4 in every spelling", () => {
    for (const text of ["::ffff:1.2.3.4", "::FFFF:1.2.3.4", "::ffff:102:304", "0:0:0:0:0:ffff:1.2.3.4"])
      assert.equal(resolve("10.0.0.1", "X-Forwarded-For", text), "1.2.3.4", text);
  });

  const told = new TrustedProxies(parseCidrs("10.0.0.0/8"), "forwarded");

  it("is read from the field that is believed, and no other", () => {
    assert.equal(resolve("10.0.0.1", "Forwarded", "for=6.6.6.6"), "10.0.0.1");
    const fields = new Fields([
      "Forwarded",
      'for=6.6.6.6, for="[2001:db8::7]:1";proto=https',
      "X-Forwarded-For",
      "6.6.6.6",
      "X-Forwarded-Proto",
      "http",
    ]);
    const client = told.resolve("10.0.0.1", fields);
    assert.deepEqual(client, {
      address: "2001:db8::7",
      peer: "10.0.0.1",
      viaTrustedProxy: true,
      toldScheme: "https",
      disagrees: true,
    });
    assert.equal(fields.get("x-forwarded-for"), "2001:db8::7");
    assert.equal(fields.has("x-forwarded-proto"), false);
  });

  it("is the one that Forwarded names behind quoted commas and quotes", () => {
    const via = (value: string): string => told.resolve("10.0.0.1", new Fields(["Forwarded", value])).address;
    assert.equal(via('for=6.6.6.6;by="a, for=7.7.7.7", for=1.2.3.4'), "1.2.3.4");
    assert.equal(via('by="\\", for=7.7.7.7";for=1.2.3.4'), "1.2.3.4");
    assert.equal(via('for=1.2.3.4;by="a, for=7.7.7.7"'), "1.2.3.4");
    assert.equal(via(",, FOR=1.2.3.4:80 ;proto=http,"), "1.2.3.4");
    for (const bad of [
      'for="6.6.6.6, for=1.2.3.4',
      'for="a"b',
      "for=1.2.3.4;for=6.6.6.6",
      "for",
      'for="a, for="[::1]"',
    ])
      assert.throws(() => via(bad), /malformed/, bad);
  });

  it("is as many hops away as the setting says, whatever their addresses", () => {
    const hops = (count: number): TrustedProxies =>
      new TrustedProxies(parseCidrs("10.0.0.0/8"), "x-forwarded-for", count);
    const fields = (): Fields => new Fields(["X-Forwarded-For", "6.6.6.6, 1.2.3.4, 8.8.8.8"]);
    assert.equal(hops(1).resolve("10.0.0.1", fields()).address, "8.8.8.8");
    assert.equal(hops(2).resolve("10.0.0.1", fields()).address, "1.2.3.4");
    assert.equal(hops(9).resolve("10.0.0.1", fields()).address, "6.6.6.6");
    assert.equal(hops(2).resolve("9.9.9.9", fields()).address, "9.9.9.9");
  });

  it("leaves both fields alone while they agree", () => {
    const fields = new Fields(["X-Forwarded-For", "1.2.3.4", "Forwarded", "for=1.2.3.4"]);
    assert.equal(proxies.resolve("10.0.0.1", fields).disagrees, false);
    assert.equal(fields.get("forwarded"), "for=1.2.3.4");
  });

  it("is never an address that a client wrote to the left of an untrusted hop", () => {
    const address = fc
      .tuple(fc.nat(223), fc.nat(255), fc.nat(255), fc.nat(255))
      .map((parts) => parts.join("."));
    fc.assert(
      fc.property(
        fc.array(address, { maxLength: 4 }),
        address,
        fc.array(fc.constant("10.1.1.1"), { maxLength: 3 }),
        (forged, real, own) => {
          fc.pre(!proxies.trusts(real));
          assert.equal(resolve("10.0.0.1", "X-Forwarded-For", [...forged, real, ...own].join(", ")), real);
        },
      ),
    );
  });
});

const told = (fields: Fields): Fields => {
  addHop(fields, { peer: "1.2.3.4" }, { scheme: "http", host: "api.example", httpVersion: "1.1" });
  return fields;
};

describe("what the service is told of the client", () => {
  it("is set where nothing was said", () => {
    const fields = told(new Fields());
    assert.equal(fields.get("x-forwarded-for"), "1.2.3.4");
    assert.equal(fields.get("x-forwarded-proto"), "http");
    assert.equal(fields.get("x-forwarded-host"), "api.example");
    assert.equal(fields.get("via"), "1.1 outrigger");
    assert.equal(fields.has("forwarded"), false);
  });

  it("is appended to what trusted proxies said", () => {
    const fields = told(
      new Fields([
        "X-Forwarded-For",
        "9.9.9.9",
        "X-Forwarded-Proto",
        "https",
        "Forwarded",
        "for=9.9.9.9",
        "Via",
        "1.1 lb",
      ]),
    );
    assert.equal(fields.get("x-forwarded-for"), "9.9.9.9, 1.2.3.4");
    assert.equal(fields.get("x-forwarded-proto"), "https");
    assert.equal(fields.get("forwarded"), "for=9.9.9.9, for=1.2.3.4");
    assert.equal(fields.get("via"), "1.1 lb, 1.1 outrigger");
  });

  it("fields by which hops speak are known by name", () => {
    for (const name of ["forwarded", "x-forwarded-for", "x-forwarded-client-cert", "x-real-ip"])
      assert.equal(isForwardedField(name), true);
    assert.equal(isForwardedField("x-forward"), false);
  });
});
