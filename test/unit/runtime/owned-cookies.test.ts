// Cookies of plugins: removed from requests by their exact names, and never set by a service.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { Hooks } from "../../../src/plugin-api/contract.ts";
import { Fields } from "../../../src/plugin-api/fields.ts";
import { OwnedCookies } from "../../../src/runtime/owned-cookies.ts";

const names = ["sess.0", "sess.1"];
const ownedBy = (...all: Hooks[]): OwnedCookies | undefined =>
  OwnedCookies.of(all.map((hooks) => ({ name: "auth", hooks })));
const owned = ownedBy({ ownedCookies: names.map((name) => ({ name, expiry: `${name}=; Max-Age=0` })) });
assert.ok(owned);

const taken = (...lines: string[]): [string | undefined, string | undefined] => {
  const fields = new Fields(lines.flatMap((line) => ["Cookie", line]));
  const pairs = owned.take(fields);
  return [pairs, fields.get("cookie")];
};

test("a request without them stays byte for byte as it is", () => {
  for (const line of ["a=b;c=d", " sess=1;; sess.00=2", "sess.0", "SESS.0=1", ""])
    assert.deepEqual(taken(line), [undefined, line]);
  assert.deepEqual(taken(), [undefined, undefined]);
});

test("they are taken out wherever they stand, and the others stay", () => {
  assert.deepEqual(taken("sess.0=1"), ["sess.0=1", undefined]);
  assert.deepEqual(taken("a=1; sess.0=x=y;\tsess.1 =2;b=3"), ["sess.0=x=y; sess.1 =2", "a=1; b=3"]);
  assert.deepEqual(taken("a=1", "sess.1=2", "sess.1=3; b=4"), ["sess.1=2; sess.1=3", "a=1; b=4"]);
});

test("what hides one behind a comma is taken out whole, as some services split there, too", () => {
  for (const pair of ["a=1, sess.0=x", "a=1,sess.0 =x", 'a="1",\tb,sess.1=x', ",sess.0=x"])
    assert.deepEqual(taken(`b=2; ${pair}; c=3`), [pair, "b=2; c=3"], pair);
  for (const line of ["a=1,2; b=3, c=4", "a=1, sess.0", "a=1, sess.2=x"])
    assert.deepEqual(taken(line), [undefined, line]);
});

test("no mix of pairs lets one through, or loses another's", () => {
  const pair = fc.tuple(
    fc.constantFrom(...names, "sess", "sess.2", "a"),
    fc.stringMatching(/^[a-z"=,]{0,4}$/),
  );
  fc.assert(
    fc.property(fc.array(pair, { minLength: 1 }), fc.constantFrom(";", "; ", " ; "), (pairs, between) => {
      const texts = pairs.map(([name, value]) => `${name}=${value}`);
      const [, left] = taken(texts.join(between));
      const kept = texts.filter((text) => !names.some((name) => text.startsWith(`${name}=`)));
      assert.deepEqual(
        (left ?? "").split(/ ?; ?/).filter((text) => text !== ""),
        kept,
      );
    }),
  );
});

test("a service's Set-Cookie of those names is dropped, also one without a name", () => {
  const set = [
    "sess.0=x; Path=/",
    " sess.1 =x",
    "=sess.0=x",
    "= sess.1=x",
    "sess=1",
    "a=sess.0=1",
    "sess.0",
    "",
  ];
  const fields = new Fields(set.flatMap((line) => ["Set-Cookie", line]));
  owned.dropFrom(fields);
  assert.deepEqual(fields.getAll("set-cookie"), ["sess=1", "a=sess.0=1", "sess.0", ""]);
});

test("nobody looks where no plugin has any, and what ends them is bounded and said once", () => {
  assert.equal(ownedBy({}, { ownedCookies: [] }), undefined);
  const many = Array.from({ length: 99 }, (_, i) => ({ name: `n${i}`, expiry: `n${i % 50}=; Max-Age=0` }));
  assert.equal(ownedBy({ ownedCookies: many })?.expiries.length, 32);
});

test("a cookie that services may set is taken from clients all the same", () => {
  const own = ownedBy({ ownedCookies: [{ name: "token", fromService: true }, { name: "session" }] });
  const request = new Fields(["Cookie", "token=x; a=1"]);
  assert.equal(own?.take(request), "token=x");
  assert.equal(request.get("cookie"), "a=1");
  const answer = new Fields(["Set-Cookie", "token=y", "Set-Cookie", "session=z"]);
  own?.dropFrom(answer);
  assert.deepEqual(answer.getAll("set-cookie"), ["token=y"]);
});

test("what was set before stays, what another plugin adds to it goes", () => {
  const own = ownedBy({ ownedCookies: [{ name: "session" }] });
  const answer = new Fields(["Set-Cookie", "session=good"]);
  const before = own?.setIn(answer);
  for (const line of ["session=bad", "other=1"]) answer.append("Set-Cookie", line);
  own?.dropFrom(answer, before);
  assert.deepEqual(answer.getAll("set-cookie"), ["session=good", "other=1"]);
  assert.deepEqual([own?.isOwner("auth"), own?.isOwner("transform")], [true, false]);
});
