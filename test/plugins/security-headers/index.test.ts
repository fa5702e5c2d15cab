// The security-headers plugin on single exchanges.
import assert from "node:assert/strict";
import { test } from "node:test";
import { lint } from "../../../plugins/security-headers/lint.ts";
import { securityHeaders } from "../../../plugins/security-headers/index.ts";
import type { LintRoute } from "../../../src/plugin-api/contract.ts";
import { Fields } from "../../../src/plugin-api/fields.ts";
import { LiveResponse } from "../../../src/runtime/response.ts";
import { setUpPlugin } from "../../../src/testing/hooks.ts";
import { exchangeOf, flat } from "../../support/exchange.ts";

const nonceCsp = "default-src 'self'; script-src 'nonce-$nonce' 'strict-dynamic'; style-src 'nonce-$nonce'";

/** What a response of the service becomes, with what the service and the cache saw. */
async function answer(
  options: object,
  lines: readonly string[] = [],
  { status = 200, scheme = "http" }: { status?: number; scheme?: "http" | "https" } = {},
): Promise<{ fields: Fields; told: string | undefined; personal: boolean }> {
  await using plugin = await setUpPlugin(securityHeaders, { options });
  const exchange = exchangeOf();
  Object.assign(exchange.request, { scheme });
  await plugin.hooks.onRequest?.(exchange);
  const response = LiveResponse.fromUpstream(status, "", new Fields(flat(...lines)));
  await plugin.hooks.onResponse?.(exchange, response);
  return {
    fields: response.fields,
    told: exchange.request.fields.get("x-csp-nonce"),
    personal: exchange.responseIsPersonal,
  };
}

test("the preset for data sets what keeps it from being shown, and HSTS over https alone", async () => {
  const plain = flat(
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'",
    "X-Frame-Options: DENY",
    "X-Content-Type-Options: nosniff",
    "Referrer-Policy: no-referrer",
    "Cross-Origin-Resource-Policy: same-origin",
  );
  assert.deepEqual((await answer({})).fields.toFlat(), plain);
  const secure = await answer({}, [], { scheme: "https" });
  assert.deepEqual(secure.fields.toFlat(), ["Strict-Transport-Security", "max-age=31536000", ...plain]);
});

test("each field is the preset's, off, or its own value", async () => {
  const { fields } = await answer({
    preset: "web",
    contentSecurityPolicy: "off",
    frameOptions: "DENY",
    permissionsPolicy: "geolocation=(self)",
    crossOriginEmbedderPolicy: "require-corp",
  });
  assert.deepEqual(
    fields.toFlat(),
    flat(
      "X-Frame-Options: DENY",
      "X-Content-Type-Options: nosniff",
      "Referrer-Policy: strict-origin-when-cross-origin",
      "Permissions-Policy: geolocation=(self)",
      "Cross-Origin-Opener-Policy: same-origin-allow-popups",
      "Cross-Origin-Embedder-Policy: require-corp",
      "Cross-Origin-Resource-Policy: same-origin",
    ),
  );
  assert.deepEqual((await answer({ preset: "off" })).fields.toFlat(), []);
});

test("what the service sets stays, unless the policy says otherwise", async () => {
  const options = { preset: "off", frameOptions: "DENY", contentTypeOptions: "nosniff" };
  const own = ["x_frame_options: SAMEORIGIN"];
  const kept = await answer(options, own);
  assert.deepEqual(kept.fields.getAll("x-frame-options"), ["SAMEORIGIN"]);
  assert.equal(kept.fields.get("x-content-type-options"), "nosniff");
  const replaced = await answer({ ...options, override: true }, [...own, "X-Frame-Options: ALLOWALL"]);
  assert.deepEqual(replaced.fields.getAll("x-frame-options"), ["DENY"]);
});

test("a nonce is new for each request, told to the service, and kept out of caches", async () => {
  const seen = new Set<string>();
  for (let i = 0; i < 600; i += 1) {
    const options = { contentSecurityPolicy: nonceCsp };
    const { fields, told = "", personal } = await answer(options, ["Content-Type: text/html; charset=utf-8"]);
    assert.match(told, /^[A-Za-z0-9+/]{22}==$/);
    assert.equal(fields.get("content-security-policy"), nonceCsp.replaceAll("$nonce", told));
    assert.equal(personal, true);
    seen.add(told);
  }
  assert.equal(seen.size, 600);
});

test("what is no page gets the policy without a nonce, and may be cached", async () => {
  const { fields, personal } = await answer({ contentSecurityPolicy: nonceCsp }, ["Content-Type: text/css"]);
  const plain = "default-src 'self'; script-src 'strict-dynamic'; style-src 'none'";
  assert.deepEqual([fields.get("content-security-policy"), personal], [plain, false]);
});

test("a 304, and a page with a policy of the service's, keep their own nonce", async () => {
  const options = { contentSecurityPolicy: nonceCsp };
  const fresh = await answer(options, [], { status: 304 });
  assert.equal(fresh.fields.get("content-security-policy"), undefined);
  const own = await answer(options, [
    "Content-Type: text/html",
    "Content-Security-Policy: script-src 'self'",
  ]);
  assert.deepEqual(
    [own.fields.getAll("content-security-policy"), own.personal],
    [["script-src 'self'"], false],
  );
});

const refused: readonly (readonly [string, unknown, RegExp])[] = [
  ["contentSecurityPolicy", "script-source 'self'", /unknown directive script-source/],
  ["contentSecurityPolicy", "img-src a.example; IMG-SRC b.example", /img-src twice/],
  ["contentSecurityPolicy", "script-src self", /write 'self'/],
  ["contentSecurityPolicy", "script-src 'nonce-abc'", /same for everybody/],
  ["contentSecurityPolicy", "script-src nonce-$nonce", /in quotes/],
  ["contentSecurityPolicy", "img-src 'nonce-$nonce'", /means nothing in img-src/],
  ["contentSecurityPolicy", "script-src 'none' a.example", /'none' beside/],
  ["contentSecurityPolicy", "script-src a.example, default-src *", /without a comma/],
  ["contentSecurityPolicy", "script-src a.example\r\nX: y", /printable/],
  ["contentSecurityPolicyReportOnly", " ; ", /no directive/],
  ["strictTransportSecurity", "max-age=1; preload", /preload takes/],
  ["strictTransportSecurity", "includeSubDomains", /must be max-age/],
  ["permissionsPolicy", "camera 'none'", /must be like/],
  ["permissionsPolicy", "", /names no feature/],
  ["referrerPolicy", "never", /Invalid option/],
  ["frameOptions", "ALLOW-FROM https://a.example", /Invalid option/],
];

for (const [option, value, message] of refused) {
  test(`${option} cannot be ${JSON.stringify(value)}`, () => {
    const result = securityHeaders.options.safeParse({ [option]: value });
    assert.match(result.error?.issues[0]?.message ?? "taken", message);
  });
}

test("lint tells of policies that protect from less than they seem to", () => {
  const found = (options: object): string[] => {
    const parsed = securityHeaders.options.parse(options);
    return Object.entries(lint.rules ?? {}).flatMap(([code, rule]) =>
      [...rule.check(parsed, {} as LintRoute, [])].map(() => code),
    );
  };
  assert.deepEqual(found({}), []);
  assert.deepEqual(found({ preset: "web", contentSecurityPolicy: nonceCsp }), []);
  assert.deepEqual(found({ contentSecurityPolicy: "img-src 'self'" }), ["inline-scripts"]);
  assert.deepEqual(found({ contentSecurityPolicy: "default-src 'unsafe-inline'" }), ["inline-scripts"]);
  assert.deepEqual(found({ strictTransportSecurity: "max-age=300" }), ["short-transport-security"]);
  assert.deepEqual(found({ strictTransportSecurity: "max-age=0" }), []);
});
