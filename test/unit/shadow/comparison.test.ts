// Compares a candidate's answer with that of the policy in force, and says what cannot be compared.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Fields } from "../../../src/plugin-api/fields.ts";
import { type CandidateSide, compare, type Side } from "../../../src/shadow/comparison.ts";
import { provesAlike } from "../../../src/shadow/not-asked.ts";

const chain = ["ip-filter", "auth", "rate-limit"];
function side(by: string | null, status: number, options: Record<string, object> = {}, route = "/a"): Side {
  const spec = {
    path: route,
    methods: undefined,
    plugins: chain,
    pluginConfig: options,
    stripPrefix: undefined,
    timeoutMs: 1,
    bufferRequestBytes: 0,
    upstreamName: "s:1",
  };
  const asked = by === null ? chain : chain.slice(0, chain.indexOf(by) + 1);
  const upstream = by === null ? { name: "s:1", path: "/a", fields: new Fields(["X-A", "1"]) } : undefined;
  return { decision: { route, by, status }, refused: by !== null && status >= 400, spec, asked, upstream };
}
const becomes = (of: Side, lacking: Record<string, string> = {}, byCircumstance = false): CandidateSide => ({
  ...of,
  byCircumstance,
  lacking: (plugin) => lacking[plugin] ?? "",
});
const kinds = (was: Side, candidate: CandidateSide) =>
  compare(was, candidate).differences.map(({ kind, plugin }) => `${kind} ${plugin}`.trim());

const limited = { "rate-limit": { limit: 5 } };
const tighter = { "rate-limit": { limit: 1 } };

for (const [what, was, candidate, wanted] of [
  ["what passed both", side(null, 200), becomes(side(null, 200)), []],
  ["what would be refused", side(null, 200), becomes(side("auth", 403)), ["refused auth"]],
  ["what would pass", side("auth", 403), becomes(side(null, 200, {})), ["allowed auth"]],
  ["another refusal", side("auth", 401), becomes(side("auth", 403)), ["status auth"]],
  ["the same limit, which let it through", side(null, 200, limited), becomes(side(null, 200, limited)), []],
  [
    "the same limit, which refused it",
    side("rate-limit", 429, limited),
    becomes(side(null, 200, limited)),
    [],
  ],
  ["another limit", side(null, 200, limited), becomes(side(null, 200, tighter)), ["unknown rate-limit"]],
  [
    "another limit behind what refuses it",
    side(null, 200, limited),
    becomes(side("auth", 403, tighter)),
    ["refused auth"],
  ],
  [
    "the same limit on another route",
    side(null, 200, limited),
    becomes(side(null, 200, limited, "/b")),
    ["unknown rate-limit"],
  ],
  [
    "lists of networks in Redis",
    side(null, 200),
    becomes(side("ip-filter", 403, { "ip-filter": { lists: ["office"] } })),
    ["unknown ip-filter"],
  ],
  [
    "another way to know callers",
    side(null, 200, limited),
    becomes(side(null, 200, { ...limited, auth: { jwt: {} } }), { auth: "who the caller is" }),
    ["unknown auth"],
  ],
  [
    "other rules about callers that are known alike",
    side("auth", 401, limited),
    becomes(side("auth", 503, { ...limited, auth: { rules: [1] } }), { auth: "who the caller is" }, true),
    [],
  ],
  ["a plugin that could not do it", side(null, 200), becomes(side("auth", 503), {}, true), ["unknown auth"]],
] as const)
  test(what, () => assert.deepEqual(kinds(was, candidate), wanted));

test("what the service gets", () => {
  const was = side(null, 200, limited);
  const other = (more: Partial<NonNullable<Side["upstream"]>>) =>
    becomes({ ...was, upstream: { name: "s:1", path: "/a", fields: new Fields(["X-A", "1"]), ...more } });
  assert.deepEqual(kinds(was, other({ name: "t:1" })), ["upstream"]);
  assert.deepEqual(kinds(was, other({ path: "/b" })), ["upstream"]);
  const fields = new Fields(["X-A", "2", "X-B", "1", "Traceparent", "t", "X-Request-Id", "r"]);
  const [difference] = compare(was, other({ fields })).differences;
  assert.deepEqual([difference?.kind, difference?.about], ["request-fields", ["x-a", "x-b"]]);
  const signed = (claims: string) => new Fields(["X-Assertion", `eyJh.${claims}.c2ln`]);
  const before = { ...was, upstream: { name: "s:1", path: "/a", fields: signed("Zm9v") } };
  assert.deepEqual(kinds(before, other({ fields: signed("YmFy") })), []);
});

test("rules say nothing of how somebody is known", () => {
  assert.ok(
    provesAlike({ rules: [1], apiKeys: { a: 1 } }, { rules: [2], apiKeys: { a: 1 }, required: false }),
  );
  assert.ok(!provesAlike({ apiKeys: { a: 1 } }, { apiKeys: { a: 2 } }));
});
