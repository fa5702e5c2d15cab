// Field values with variables.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { compileTemplate, templateProblem } from "../../../plugins/transform/template.ts";
import { exchangeOf } from "../../support/exchange.ts";

const known = exchangeOf({
  id: "r-1",
  address: "192.0.2.7",
  identity: { userId: "u1", plan: "pro", scopes: ["read", "write"] },
});
const anonymous = exchangeOf({ id: "r-1", address: "192.0.2.7" });

const fill = (text: string, exchange = known): string | undefined => {
  assert.equal(templateProblem(text), undefined);
  return compileTemplate(text)(exchange);
};

test("every variable is filled in, alone, between text and beside another", () => {
  assert.equal(fill("$userId"), "u1");
  assert.equal(fill("$plan"), "pro");
  assert.equal(fill("$scopes"), "read write");
  assert.equal(fill("$requestId"), "r-1");
  assert.equal(fill("$clientIp"), "192.0.2.7");
  assert.equal(fill("user=$userId;plan=$plan"), "user=u1;plan=pro");
  assert.equal(fill("$userId$plan"), "u1pro");
  assert.equal(fill("plain"), "plain");
});

test("$$ is a dollar sign, and is not read again", () => {
  assert.equal(fill("$$userId"), "$userId");
  assert.equal(fill("$$$userId"), "$u1");
  assert.equal(fill("cost: 5$$"), "cost: 5$");
});

test("a variable without a value leaves the whole field out", () => {
  assert.equal(fill("$userId", anonymous), undefined);
  assert.equal(fill("by $userId from $clientIp", anonymous), undefined);
  assert.equal(fill("$clientIp", anonymous), "192.0.2.7");
  const bare = exchangeOf({ identity: { userId: "u1", plan: undefined, scopes: [] } });
  assert.equal(fill("$plan", bare), undefined);
  assert.equal(fill("$scopes", bare), undefined);
  assert.equal(fill("$userId/$plan", bare), undefined);
  assert.equal(fill("$userId", exchangeOf({ identity: { userId: "" } })), undefined);
});

test("an identity that contains a variable's name or a line end is data", () => {
  const hostile = exchangeOf({ identity: { userId: "$plan$$\r\nX-Admin: 1", plan: "pro" } });
  assert.equal(fill("$userId", hostile), "$plan$$%0D%0AX-Admin: 1");
});

test("unknown variables, lone dollars, line ends and bytes beyond ASCII are refused", () => {
  const refused: [string, RegExp][] = [
    ["$user", /unknown variable \$user: known are \$userId, /],
    ["$userIdx", /unknown variable/],
    ["$userid", /unknown variable/],
    ["a $ b", /lone \$/],
    ["$", /lone \$/],
    ["$-x", /lone \$/],
    ["a\r\nb", /printable ASCII/],
    ["a\0b", /printable ASCII/],
    ["é", /printable ASCII/],
    ["", /printable ASCII/],
    [" a", /space/],
    ["a ", /space/],
    ["x".repeat(4097), /4096/],
  ];
  for (const [text, reason] of refused) assert.match(templateProblem(text) ?? "accepted", reason, text);
});

test("any text that is not refused fills without a stray line end, and literally where no variable is", () => {
  const piece = fc.constantFrom("$", "$$", "userId", "plan", "a", "-", " ", "b");
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
      const text = pieces.join("");
      if (templateProblem(text) !== undefined) return;
      const expected = text
        .split("$$")
        .map((part) => part.replaceAll("$userId", "u1").replaceAll("$plan", "pro"))
        .join("$");
      assert.equal(fill(text), expected);
    }),
    { numRuns: 2000 },
  );
});
