// Which callers get the candidate, if each sidecar gives it a part of its callers.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CallerSplit } from "../../../src/canary/caller-split.ts";
import { placeOf } from "../../../src/canary/share.ts";

const ada = {
  userId: "ada",
  plan: undefined,
  scopes: [],
  roles: [],
  method: "jwt",
  credentialId: undefined,
  claims: {},
};

test("a caller stays where they are, by whatever credential, and whoever makes credentials up moves nobody", () => {
  const split = new CallerSplit("a canary");
  assert.equal(split.place("token 1", "192.0.2.1"), 1, "nobody knows yet whose it is");
  split.learn("token 1", "192.0.2.1", ada);
  split.learn("token 2", "192.0.2.2", ada);
  const place = split.place("token 1", "192.0.2.3");
  assert.equal(split.place("token 2", "192.0.2.4"), place);
  for (let i = 0; i < 50_000; i += 1) split.learn(`made up ${i}`, "192.0.2.66", undefined);
  assert.equal(split.place("token 1", "192.0.2.5"), place);
  assert.equal(
    split.place("made up 49999", "192.0.2.7"),
    split.place(undefined, "192.0.2.66"),
    "what proves nobody counts as the address that it came from first",
  );
});

test("all addresses of an IPv6 network are one caller's", () => {
  const split = new CallerSplit("a canary");
  const places = (...addresses: string[]) =>
    new Set(addresses.map((address) => split.place(undefined, address)));
  assert.equal(places("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:0db8:0001:0002::3").size, 1);
  assert.equal(places("2001:db8:1:2::1", "2001:db8:1:3::1", "192.0.2.1", "192.0.2.2").size, 4);
  split.learn("made up", "2001:db8:1:2::7", undefined);
  assert.equal(split.place("made up", "192.0.2.1"), split.place(undefined, "2001:db8:1:2::1"));
});

test("places are spread evenly, and others for each canary", () => {
  const shares = ["one", "two"].map((id) => {
    const chosen = Array.from({ length: 2_000 }, (_, i) => placeOf(id, `caller ${i}`) < 0.1);
    return { chosen, count: chosen.filter(Boolean).length };
  });
  for (const { count } of shares) assert.ok(count > 150 && count < 250, String(count));
  const both = shares[0]?.chosen.filter((is, i) => is && shares[1]?.chosen[i]).length ?? 0;
  assert.ok(both < 50, `${both} first at both`);
});
