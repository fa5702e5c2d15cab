// Which header fields an external plugin may see, and which it may change.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Fields } from "../../../src/plugin-api/fields.ts";
import { ExtensionFields } from "../../../src/runtime/extension-fields.ts";

const everything = { readFields: ["*"], writeFields: ["*"] };

describe("fields of a plugin of others", () => {
  it("are shown as far as its manifest asks for them", () => {
    const fields = new Fields(["X-One", "1", "Cookie", "secret", "x_two", "2"]);
    const some = new ExtensionFields({ ...everything, readFields: ["x-one", "x-two"] });
    assert.deepEqual(some.shown(fields), ["X-One", "1", "x_two", "2"]);
    assert.deepEqual(new ExtensionFields(everything).shown(fields).length, 6);
    assert.deepEqual(new ExtensionFields({ ...everything, readFields: [] }).shown(fields), []);
  });

  it("may be changed as far as its manifest asks for them", () => {
    const some = new ExtensionFields({ ...everything, writeFields: ["x-geo"] });
    assert.equal(some.problem("request", "X-Geo", "NL"), undefined);
    assert.equal(some.problem("request", "x_geo", "NL"), undefined);
    assert.match(some.problem("response", "Set-Cookie", "a=b") ?? "", /"Set-Cookie", .*needs\.writeFields/);
  });

  it("are never those that frame a message or that the sidecar writes, however they are spelt", () => {
    const all = new ExtensionFields(everything);
    for (const name of [
      "Content-Length",
      "TRANSFER-ENCODING",
      "transfer_encoding",
      "Host",
      "connection",
      "Upgrade",
    ])
      for (const side of ["request", "response"] as const)
        assert.match(all.problem(side, name, "1") ?? "nothing", /frames the message/, name);
    for (const name of ["X-Forwarded-For", "forwarded", "X-Request-Id"])
      assert.match(all.problem("request", name, "1") ?? "nothing", /the sidecar writes/, name);
  });

  it("are never another plugin's, such as those that tell who calls", () => {
    const others = new Set(["x-user-id", "x-geo"]);
    const all = new ExtensionFields(everything, others, new Set(["x-geo"]));
    assert.match(all.problem("request", "X-User-Id", "root") ?? "", /another plugin of this policy/);
    assert.match(all.problem("request", "x_user_id", "root") ?? "", /another plugin of this policy/);
    assert.equal(all.problem("request", "X-Geo", "NL"), undefined);
    assert.equal(all.problem("response", "X-User-Id", "u1"), undefined);
  });

  it("are taken from no client when they are the client's", () => {
    const all = new ExtensionFields(everything);
    const secrets = new Set(["X-Partner-Key"]);
    for (const name of [
      "Authorization",
      "cookie",
      "X_API_Key",
      "Content-Type",
      "Content-Encoding",
      "Accept",
      "Accept-Language",
      "If-None-Match",
      "Origin",
      "Sec-WebSocket-Key",
      "CF-Connecting-IP",
      "X-Forwarded-Anything",
    ])
      assert.match(all.ownProblem(name, secrets) ?? name, /which is the client's/);
    assert.match(all.ownProblem("x-partner-key", secrets) ?? "", /looks for credentials/);
    assert.match(all.ownProblem("Proxy-Authorization", secrets) ?? "", /frames the message/);
    for (const name of ["X-Geo", "X-Content-Score", "Accepted-By"])
      assert.equal(all.ownProblem(name, secrets), undefined, name);
  });

  it("hold nothing that ends a line", () => {
    const all = new ExtensionFields(everything);
    for (const value of ["a\r\nX-Evil: 1", "a\n", "\0", "\u0100", "\u560d\u560a", "x".repeat(16_385)])
      assert.match(all.problem("response", "X-A", value) ?? "nothing", /no field value/);
    for (const name of ["", "X A", "X:A", "X-A\r\nX-B", "é", "x".repeat(129)])
      assert.match(all.problem("response", name, "1") ?? "nothing", /no field name/);
    assert.equal(all.problem("response", "X-A", "caf\u00e9\t "), undefined);
  });
});
