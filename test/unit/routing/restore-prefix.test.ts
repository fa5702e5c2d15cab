// Restores the prefix in what a service says about itself, so that its clients can use it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Fields } from "../../../src/plugin-api/fields.ts";
import { restorePrefix } from "../../../src/routing/restore-prefix.ts";

const rule = { prefix: "/api", basePath: undefined, upstream: "127.0.0.1:3000" };

function restored(name: string, value: string, basePath?: string): string {
  const fields = new Fields([name, value]);
  restorePrefix(fields, { ...rule, basePath }, "shop.test");
  return fields.toFlat()[1] as string;
}

const urls: readonly (readonly [string, string])[] = [
  ["/login", "/api/login"],
  ["/", "/api/"],
  ["/a?to=/b#c", "/api/a?to=/b#c"],
  ["login", "login"],
  ["?page=2", "?page=2"],
  ["", ""],
  ["https://shop.test/login", "https://shop.test/api/login"],
  ["https://Shop.Test", "https://Shop.Test/api/"],
  ["//shop.test/login", "//shop.test/api/login"],
  ["http://127.0.0.1:3000/login?x=1", "/api/login?x=1"],
  ["https://id.example/authorize?redirect_uri=/x", "https://id.example/authorize?redirect_uri=/x"],
  ["https://shop.test.evil.example/login", "https://shop.test.evil.example/login"],
  ["mailto:a@shop.test", "mailto:a@shop.test"],
];

for (const [from, to] of urls) {
  for (const name of ["Location", "Content-Location"]) {
    test(`${name}: ${from}`, () => assert.equal(restored(name, from), to));
  }
  if (from === "") continue;
  test(`Refresh to ${from}`, () => {
    assert.equal(restored("Refresh", `5; url=${from}`), `5; url=${to}`);
    assert.equal(restored("Refresh", `0;URL="${from}"`), `0;URL="${to}"`);
  });
}

test("a base path of the upstream's URL goes, a path that only begins like it stays", () => {
  assert.equal(restored("Location", "/base/login", "/base"), "/api/login");
  assert.equal(restored("Location", "/base", "/base"), "/api");
  assert.equal(restored("Location", "/based/login", "/base"), "/api/based/login");
});

for (const [from, to] of [
  ["a=1; Path=/", "a=1; Path=/api"],
  ["a=1; Path=/x; HttpOnly", "a=1; Path=/api/x; HttpOnly"],
  ["a=1; path = /x/", "a=1; path = /api/x/"],
  ["a=1", "a=1"],
  ["a=Path=/x", "a=Path=/x"],
  ["__Host-a=1; Secure; Path=/", "__Host-a=1; Secure; Path=/"],
] as const) {
  test(`Set-Cookie: ${from}`, () => assert.equal(restored("Set-Cookie", from), to));
}

test("several cookies stay several", () => {
  const fields = new Fields(["Set-Cookie", "a=1; Path=/", "X", "1", "Set-Cookie", "b=2"]);
  restorePrefix(fields, rule, "shop.test");
  assert.deepEqual(fields.getAll("set-cookie"), ["a=1; Path=/api", "b=2"]);
});
