// What the access log must not show.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { compileFieldPicker, compileRedaction } from "../../../plugins/logging/redact.ts";
import { compileQueryRedaction, redacted, secretNames } from "../../../src/language/redaction.ts";
import { Fields } from "../../../src/plugin-api/contract.ts";

test("credentials are shown as [redacted] even when the policy asks for their fields", () => {
  const pick = compileFieldPicker(
    {
      headers: [
        "Authorization",
        "cookie",
        "Set-Cookie",
        "X-Api-Key",
        "Proxy-Authorization",
        "DPoP",
        "Signature",
        "Accept",
      ],
    },
    secretNames([]),
  );
  const fields = new Fields(
    "authorization|Bearer s3cret|COOKIE|sid=s3cret|Set-Cookie|sid=s3cret|x-API-key|s3cret"
      .split("|")
      .concat("proxy-authorization|Basic s3cret|dpop|s3cret|signature|s3cret|accept|text/html".split("|")),
  );
  assert.deepEqual(Object.fromEntries(pick(fields)), {
    authorization: redacted,
    cookie: redacted,
    "set-cookie": redacted,
    "x-api-key": redacted,
    "proxy-authorization": redacted,
    dpop: redacted,
    signature: redacted,
    accept: "text/html",
  });
});

test("redact adds to the secret fields, in any case", () => {
  const pick = compileFieldPicker({ headers: ["x-session-token"] }, secretNames(["X-Session-Token"]));
  assert.deepEqual(Object.fromEntries(pick(new Fields(["X-Session-Token", "s3cret"]))), {
    "x-session-token": redacted,
  });
});

test("a URL in a field is shown without the secrets of its query and fragment", () => {
  const pick = compileFieldPicker({ headers: ["Referer", "X-Original-URL", "Accept"] }, secretNames([]));
  const referer = "https://a.test/?code=s3cret&y=2#id_token=s3cret";
  const fields = new Fields(["referer", referer, "x-original-url", "/a?token=s3cret", "accept", "code=1"]);
  assert.deepEqual(pick(fields), [
    ["referer", "https://a.test/?code=[redacted]&y=2#id_token=[redacted]"],
    ["x-original-url", "/a?token=[redacted]"],
    ["accept", "code=1"],
  ]);
});

test("a field that is not there leaves nothing, and repeated lines are shown together", () => {
  const pick = compileFieldPicker({ headers: ["via", "accept"] }, secretNames([]));
  assert.deepEqual(pick(new Fields([])), []);
  assert.deepEqual(pick(new Fields(["Via", "1.1 a", "Via", "1.1 b"])), [["via", "1.1 a, 1.1 b"]]);
});

test("a field can be asked for under any name, even one that objects inherit", () => {
  const pick = compileFieldPicker({ headers: ["__proto__", "constructor"] }, secretNames([]));
  assert.deepEqual(pick(new Fields(["__proto__", "x"])), [["__proto__", "x"]]);
});

test("values of secret query parameters are redacted, the others stay", () => {
  const redact = compileQueryRedaction(secretNames(["Session_ID"]));
  assert.equal(redact("?page=2&access_token=abc.def=="), "?page=2&access_token=[redacted]");
  assert.equal(redact("?a=1;token=x&session_id=9&flag"), "?a=1;token=[redacted]&session_id=[redacted]&flag");
});

test("a URL in the value of another parameter, or behind a fragment, is looked into", () => {
  const redact = compileQueryRedaction(secretNames([]));
  assert.equal(redact("?next=/a?token=x&b=1"), "?next=/a?token=[redacted]&b=1");
  assert.equal(redact("1; url=/f?code=x?y"), "1; url=/f?code=[redacted]");
  assert.equal(redact("/cb#access_token=x=&state=s"), "/cb#access_token=[redacted]&state=s");
});

test("spelling a secret parameter in another way does not show it", () => {
  const redact = compileQueryRedaction(secretNames([]));
  for (const name of ["Access_Token", "%61ccess_token", "access%5Ftoken", "+token", "%zz"]) {
    assert.equal(redact(`?x=1&${name}=s3cret`), `?x=1&${name}=[redacted]`);
  }
});

test("no query makes the redaction slow or leave the value of a secret", () => {
  const redact = compileQueryRedaction(secretNames([]));
  const part = fc.string({ unit: fc.constantFrom("a", "=", "&", ";", "?", "%", "+"), maxLength: 30 });
  fc.assert(
    fc.property(part, part, (before, after) => {
      assert.doesNotMatch(redact(`?${before}&token=S3CRET&${after}`), /S3CRET/);
    }),
  );
});

test("routes that hide the same share what is compiled; one that hides more hides it, and the next does not", () => {
  const plain = { secretNames: new Set<string>() };
  const queryOf = (redact: string[], route: typeof plain): string =>
    compileRedaction(redact, route).query("?id=1&tenant=2&token=3");
  assert.equal(compileRedaction(["id"], plain), compileRedaction(["id"], { secretNames: new Set() }));
  assert.equal(queryOf(["id"], plain), "?id=[redacted]&tenant=2&token=[redacted]");
  assert.equal(queryOf([], { secretNames: new Set(["tenant"]) }), "?id=1&tenant=[redacted]&token=[redacted]");
  assert.equal(queryOf([], plain), "?id=1&tenant=2&token=[redacted]");
});

test("names that end as those of secrets do are secret, whatever stands between their words", () => {
  const redact = compileQueryRedaction(secretNames([]));
  for (const name of ["reset_token", "user[password]", "X-Api-Key", "PHPSESSID", "SAMLResponse", "newPwd"])
    assert.equal(redact(`?a=1&${name}=s3cret&b=2`), `?a=1&${name}=[redacted]&b=2`);
  for (const name of ["page", "author", "keyword", "tokens", "passenger", "q"])
    assert.equal(redact(`?${name}=shown`), `?${name}=shown`);
});

test("a URL in a value shows no secret either, however often it is encoded", () => {
  const redact = compileQueryRedaction(secretNames([]));
  let url = "https://a.test/cb?x=1&code=s3cret&y=2#id_token=s3cret&state=s";
  for (let times = 0; times < 3; times += 1) {
    url = encodeURIComponent(url);
    const shown = redact(`?next=${url}&page=2`);
    assert.doesNotMatch(shown, /s3cret/);
    assert.match(shown, /^\?next=https.*code%.*\[redacted\]%.*y%.*2.*\[redacted\]%.*state%.*s&page=2$/);
  }
  assert.equal(redact("?token=a%26b=c&d=1"), "?token=[redacted]&d=1", "what is encoded is of the value");
});
