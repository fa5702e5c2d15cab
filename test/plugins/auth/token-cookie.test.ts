// A token in a cookie: what is looked at is what the service would find.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { makeRoute, makeServices } from "./harness.ts";
import { TokenIssuer } from "./token-issuer.ts";

let issuer: TokenIssuer;
before(async () => {
  issuer = await TokenIssuer.start();
});
after(() => issuer.close());

test("a token behind a comma is nobody's, and no service gets it, even where nobody has to log in", async () => {
  const services = await makeServices();
  const issuers = [{ issuer: issuer.url, jwksUri: issuer.jwksUri }];
  const route = await makeRoute(
    { required: false, jwt: { issuers, from: ["header", "cookie:tok"] } },
    services,
  );
  const token = await issuer.sign();
  const ask = (...cookies: string[]) => route.ask({ fields: cookies.flatMap((each) => ["Cookie", each]) });
  const hidden = [
    [`a=1, tok=${token}`],
    [`a=1,\ttok =${token}; b=2`],
    ["a=1", `b=2,tok=${token}`],
    [`tok=${token}`, "a=1,tok=x"],
  ];
  for (const cookies of hidden) {
    const { status, because, identity, fields } = await ask(...cookies);
    assert.deepEqual(
      [status, because, identity],
      [401, "several token cookies, or a comma", undefined],
      cookies.join("; "),
    );
    assert.doesNotMatch(fields.get("cookie") ?? "", /tok/);
  }
  const plain = await ask("a=1,2", `tok=${token}`, "b=1, tok2=x");
  assert.deepEqual([plain.status, plain.identity?.userId], [200, "u1"]);
  assert.equal(plain.fields.get("cookie"), "a=1,2; b=1, tok2=x");
  const anonymous = await ask("a=1,2");
  assert.deepEqual([anonymous.status, anonymous.identity], [200, undefined]);
  await route.close();
  services.close();
});
