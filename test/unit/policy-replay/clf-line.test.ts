// Lines of the Combined Log Format, as several proxies write them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { clfMembers } from "../../../src/policy-replay/clf-line.ts";

const line = (agent: string): string =>
  `192.0.2.1 - ann [10/Oct/2000:13:55:36 +0000] "GET /a HTTP/1.1" 200 5 "-" "${agent}"`;

test("what is escaped is read, by whichever proxy", () => {
  for (const [written, agent] of [
    ["plain (X; Y)", "plain (X; Y)"],
    ["says \\x22hello\\x22 \\x5Cn", 'says "hello" \\n'],
    ['says \\"hello\\" \\\\n', 'says "hello" \\n'],
    ["caf\\xC3\\xA9", "caf\u00e9"],
  ] as const)
    assert.equal(clfMembers(line(written))?.["userAgent"], agent);
});

test("what could be read in two ways is no line", () => {
  for (const written of ['a" "b', 'a"b', "a\\"]) assert.equal(clfMembers(line(written)), undefined, written);
});
