// Credentials are removed from query and subprotocols; everything else stays unchanged.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fields } from "../../../src/plugin-api/fields.ts";
import { OwnedParts } from "../../../src/runtime/owned-parts.ts";

const parts = OwnedParts.of([{ ownedQuery: ["t"] }, {}, { ownedSubprotocols: ["bearer"] }]);
assert.ok(parts);
const take = (query: string): unknown => {
  const { query: rest, ownedQuery } = parts.take(query, new Fields());
  return [rest, ownedQuery];
};

test("plugins that own nothing cost nothing", () => {
  assert.equal(OwnedParts.of([{}, { ownedQuery: [] }]), undefined);
});

test("owned parameters leave the query, however their name is written", () => {
  const cases: [string, string, string | undefined][] = [
    ["", "", undefined],
    ["?", "?", undefined],
    ["?a=1&b", "?a=1&b", undefined],
    ["?t=x", "", "t=x"],
    ["?t", "", "t"],
    ["?a=%20&%74=x&b=1", "?a=%20&b=1", "%74=x"],
    ["?t=1&a&t=2", "?a", "t=1&t=2"],
    ["?a=1;t=x;b=2", "?a=1;b=2", "t=x"],
    ["?t=x;a=1&b", "?a=1&b", "t=x"],
    ["?T=x&tt=y&a=t=z", "?T=x&tt=y&a=t=z", undefined],
    ["?%zz=1&t=x", "?%zz=1", "t=x"],
  ];
  for (const [query, rest, owned] of cases) assert.deepEqual(take(query), [rest, owned], query);
});

test("no parameter of that name is left in any query, and nothing else is lost", () => {
  const pair = fc.constantFrom("t=secret", "%74=secret", "a=1", "b", "", "=", "%zz=1", "t");
  fc.assert(
    fc.property(
      fc.array(pair, { minLength: 1, maxLength: 6 }),
      fc.constantFrom("&", ";"),
      (pairs, separator) => {
        const { query, ownedQuery } = parts.take(`?${pairs.join(separator)}`, new Fields());
        assert.ok(!query.includes("secret"));
        const owned = pairs.filter((each) => /^(?:t|%74)(?:=|$)/.test(each));
        assert.equal(ownedQuery, owned.length === 0 ? undefined : owned.join("&"));
      },
    ),
  );
});

test("owned subprotocols leave the field; the order of the others is kept, and an empty field goes", () => {
  const offer = (...values: string[]): unknown => {
    const fields = new Fields(values.flatMap((value) => ["Sec-WebSocket-Protocol", value]));
    const { ownedSubprotocols } = parts.take("", fields);
    return [fields.get("sec-websocket-protocol"), ownedSubprotocols];
  };
  assert.deepEqual(offer("a, bearer.x, b"), ["a, b", ["bearer.x"]]);
  assert.deepEqual(offer("bearer", "bearer.x"), [undefined, ["bearer", "bearer.x"]]);
  assert.deepEqual(offer("Bearer.x,bearers,a"), ["Bearer.x,bearers,a", undefined]);
  assert.deepEqual(offer(), [undefined, undefined]);
});

test("a Referer loses them too, and stays as it is without", () => {
  const refererOf = (value: string): string | undefined => {
    const fields = new Fields(["Referer", value]);
    parts.take("", fields);
    return fields.get("referer");
  };
  assert.equal(refererOf("https://a.example/x?t=secret"), "https://a.example/x");
  assert.equal(refererOf("https://a.example/x?b=1&t=secret"), "https://a.example/x?b=1");
  assert.equal(refererOf("https://a.example/x?b=%20;c&tt=1"), "https://a.example/x?b=%20;c&tt=1");
  assert.equal(refererOf("https://a.example/t=1"), "https://a.example/t=1");
});
