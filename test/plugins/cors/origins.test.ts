// Which origins a policy admits.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { corsOptions } from "../../../plugins/cors/options.ts";
import { compileOrigins, originProblem } from "../../../plugins/cors/origins.ts";

test("an exact origin lets in itself and nothing that resembles it", () => {
  const allows = compileOrigins(["https://app.example.com"]);
  assert.equal(allows("https://app.example.com"), true);
  for (const other of [
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://app.example.com.evil.net",
    "https://evil-app.example.com",
    "https://app.example.com/",
    "https://APP.example.com",
    "https://app.example.com, https://app.example.com",
    " https://app.example.com",
    "https://evil.net/https://app.example.com",
    "https://appxexample.com",
    "null",
    "",
  ]) {
    assert.equal(allows(other), false, other);
  }
});

test("*. lets in one or more whole labels, on the same scheme and port", () => {
  const allows = compileOrigins(["https://*.example.com", "http://*.dev.example:8080"]);
  for (const origin of ["https://a.example.com", "https://a.b-1.example.com", "http://x.dev.example:8080"]) {
    assert.equal(allows(origin), true, origin);
  }
  for (const origin of [
    "https://example.com",
    "https://.example.com",
    "https://evilexample.com",
    "https://a.example.com.evil.net",
    "https://evil.net?.example.com",
    "https://evil.net/.example.com",
    "https://evil.net#.example.com",
    "https://user@a.example.com",
    "https://a..example.com",
    "https://a.exampleXcom",
    "https://a.example.com:8443",
    "https://a.example.com\n",
    "http://a.example.com",
    "http://x.dev.example",
    "http://x.dev.example:80800",
  ]) {
    assert.equal(allows(origin), false, origin);
  }
});

test(":* lets in any port of that host", () => {
  const allows = compileOrigins(["http://localhost:*", "http://[::1]:*"]);
  for (const origin of ["http://localhost", "http://localhost:5173", "http://[::1]:3000"]) {
    assert.equal(allows(origin), true, origin);
  }
  for (const origin of ["http://localhost:", "http://localhost:80a", "http://localhost:8080.evil.net"]) {
    assert.equal(allows(origin), false, origin);
  }
});

test("null and * are let in only where the policy names them", () => {
  assert.equal(compileOrigins(["null"])("null"), true);
  assert.equal(compileOrigins(["https://null"])("null"), false);
  assert.equal(compileOrigins([])("https://a.example"), false);
  assert.equal(compileOrigins(["*"])("https://a.example"), true);
});

test("no origin passes a pattern unless the URL standard puts its host below the pattern's", () => {
  const allows = compileOrigins(["https://*.example.com"]);
  const piece = fc.constantFrom(
    "https://",
    "a",
    ".",
    "example.com",
    "evil.net",
    "@",
    ":",
    "/",
    "?",
    "#",
    "\\",
    "%2e",
    "*",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
      const origin = pieces.join("");
      if (!allows(origin)) return;
      const url = new URL(origin);
      assert.equal(url.protocol, "https:");
      assert.equal(url.port, "");
      assert.ok(url.hostname.endsWith(".example.com"), origin);
    }),
    { numRuns: 5000 },
  );
});

test("an origin of a hundred thousand characters costs nothing", () => {
  const allows = compileOrigins(["https://*.example.com"]);
  const started = process.cpuUsage();
  for (let i = 0; i < 1000; i += 1) allows(`https://${"a.".repeat(50_000)}example.org`);
  assert.ok(process.cpuUsage(started).user < 500_000);
});

test("entries that could never match, or would match too much, are refused with the reason", () => {
  const refused: [string, RegExp][] = [
    ["app.example.com", /scheme:\/\/host/],
    ["https://app.example.com/", /without a path/],
    ["https://app.example.com/*", /without a path/],
    ["https://App.example.com", /browsers send https:\/\/app\.example\.com/],
    ["https://app.example.com:443", /browsers send https:\/\/app\.example\.com$/],
    ["https://bücher.example", /browsers send https:\/\/xn--bcher-kva\.example/],
    ["http://[0:0::1]", /browsers send http:\/\/\[::1\]/],
    ["https://*", /scheme/],
    ["https://*example.com", /scheme/],
    ["https://app.*.com", /scheme/],
    ["*.example.com", /scheme/],
    ["https://*.0.0.1", /IP address/],
    ["https://a@b.example", /scheme/],
    ["https://a.example:99999", /not a valid origin/],
    ["", /scheme/],
    ["NULL", /scheme/],
  ];
  for (const [entry, reason] of refused) assert.match(originProblem(entry) ?? "accepted", reason, entry);
});

test("origins of apps and extensions are taken as they are sent", () => {
  for (const entry of ["chrome-extension://abcdefgh", "capacitor://localhost", "http://127.0.0.1:3000"]) {
    assert.equal(originProblem(entry), undefined, entry);
    assert.equal(compileOrigins([entry])(entry), true, entry);
  }
});

test("* with credentials is refused, in every list, with the path", () => {
  for (const option of ["origins", "methods", "headers", "exposeHeaders"]) {
    const result = corsOptions.safeParse({ credentials: true, [option]: ["*"] });
    assert.deepEqual(
      result.error?.issues.map(({ path, message }) => [path.join("."), message]),
      [[`${option}.0`, "* cannot be used with credentials"]],
    );
    assert.equal(corsOptions.safeParse({ [option]: ["*"] }).success, true);
  }
});

test("methods and field names that are no tokens are refused", () => {
  for (const bad of ["GET, POST", "X Y", "", "X:Y", "X\r\nSet-Cookie"]) {
    for (const option of ["methods", "headers", "exposeHeaders"]) {
      assert.equal(corsOptions.safeParse({ [option]: [bad] }).success, false, bad);
    }
  }
});
