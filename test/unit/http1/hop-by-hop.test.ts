import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { isHopByHop } from "../../../src/http1/hop-by-hop.ts";

describe("isHopByHop", () => {
  it("stops the fields of RFC 9110 section 7.6.1 whatever Connection says", () => {
    for (const name of [
      "connection",
      "keep-alive",
      "te",
      "transfer-encoding",
      "upgrade",
      "proxy-authorization",
    ]) {
      assert.equal(isHopByHop(undefined)(name), true);
      assert.equal(isHopByHop("x")(name), true);
    }
  });

  it("stops what Connection names, in any case and spacing", () => {
    const stops = isHopByHop("close ,  X-One,x-TWO\t");
    assert.equal(stops("x-one"), true);
    assert.equal(stops("x-two"), true);
    assert.equal(stops("x-three"), false);
  });

  it("never lets a sender take framing or routing away by naming it", () => {
    const stops = isHopByHop("Host, Content-Length, Content-Type, Cache-Control");
    for (const name of ["host", "content-length", "content-type", "cache-control"])
      assert.equal(stops(name), false);
  });

  it("any list of names: exactly those stop, besides the fixed ones", () => {
    const name = fc.stringMatching(/^x-[a-z]{1,8}$/);
    fc.assert(
      fc.property(fc.uniqueArray(name, { maxLength: 5 }), name, (names, other) => {
        assert.equal(isHopByHop(names.join(", "))(other), names.includes(other));
      }),
    );
  });
});
