// The cases of the W3C's public harness for Trace Context (github.com/w3c/trace-context, test/test.py, STRICT_LEVEL 2),
// with their original names, through a real sidecar.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startSidecar, type TestSidecar } from "../support/sidecar.ts";
import { echo, seenWith } from "../support/trace-fields.ts";

const trace = "12345678901234567890123456789012";
const span = "1234567890123456";

interface Told {
  readonly traceId: string | undefined;
  readonly spanId: string | undefined;
  readonly state: string | undefined;
}

/** For each request of a case its fields, and what the service is to be told: the caller's trace or a new one; the list. */
type Case = readonly (readonly [lines: readonly string[], kept: boolean, state?: string])[];

const parent = (value: string): string => `traceparent: ${value}`;
const ours = parent(`00-${trace}-${span}-00`);
const withParents = (kept: boolean, ...values: string[]): Case =>
  values.map((value) => [[parent(value)], kept] as const);
const none = (...values: string[]): Case => withParents(false, ...values);
/** Of each list that it is passed on as that, or not at all. */
const lists = (...cases: readonly (readonly [lines: readonly string[], state?: string])[]): Case =>
  cases.map(([lines, ...state]) => [[ours, ...lines], true, ...state] as const);
const list = (value: string): string => `tracestate: ${value}`;
const members = (from: number, to: number): string =>
  Array.from({ length: to - from + 1 }, (_, i) => `bar${from + i}=${from + i}`).join();

const letters = "abcdefghijklmnopqrstuvwxyz0123456789_-*/";
const printable = Array.from({ length: 0x5f }, (_, i) => String.fromCharCode(0x20 + i)).join("");
const allowed = printable.replaceAll(/[,=]/g, "");

const cases: Readonly<Record<string, Case>> = {
  both_traceparent_and_tracestate_missing: [[[], false]],
  traceparent_included_tracestate_missing: withParents(true, `00-${trace}-${span}-01`),
  traceparent_duplicated: [
    [[parent(`00-${trace.slice(0, -1)}1-${span}-01`), parent(`00-${trace}-${span}-01`)], false],
  ],
  traceparent_header_name: [
    [[`trace-parent: 00-${trace}-${span}-01`], false],
    [[`trace.parent: 00-${trace}-${span}-01`], false],
  ],
  traceparent_header_name_valid_casing: ["TraceParent", "TrAcEpArEnT", "TRACEPARENT"].map((name) => [
    [`${name}: 00-${trace}-${span}-01`],
    true,
  ]),
  traceparent_version_0x00: none(`00-${trace}-${span}-01.`, `00-${trace}-${span}-01-what-the-future-is`),
  traceparent_version_0xcc: [
    ...withParents(true, `cc-${trace}-${span}-01`, `cc-${trace}-${span}-01-what-the-future-is`),
    ...none(`cc-${trace}-${span}-01.what-the-future-is`),
  ],
  traceparent_version_0xff: none(`ff-${trace}-${span}-01`),
  traceparent_version_illegal_characters: none(`.0-${trace}-${span}-01`, `0.-${trace}-${span}-01`),
  traceparent_version_too_long: none(`000-${trace}-${span}-01`, `0000-${trace}-${span}-01`),
  traceparent_version_too_short: none(`0-${trace}-${span}-01`),
  traceparent_trace_id_all_zero: none(`00-${"0".repeat(32)}-${span}-01`),
  traceparent_trace_id_illegal_characters: none(
    `00-.${trace.slice(1)}-${span}-01`,
    `00-${trace.slice(0, -1)}.-${span}-01`,
  ),
  traceparent_trace_id_too_long: none(`00-${trace}3-${span}-01`),
  traceparent_trace_id_too_short: none(`00-${trace.slice(0, -1)}-${span}-01`),
  traceparent_parent_id_all_zero: none(`00-${trace}-${"0".repeat(16)}-01`),
  traceparent_parent_id_illegal_characters: none(
    `00-${trace}-.${span.slice(1)}-01`,
    `00-${trace}-${span.slice(0, -1)}.-01`,
  ),
  traceparent_parent_id_too_long: none(`00-${trace}-${span}7-01`),
  traceparent_parent_id_too_short: none(`00-${trace}-${span.slice(0, -1)}-01`),
  traceparent_trace_flags_illegal_characters: none(`00-${trace}-${span}-.0`, `00-${trace}-${span}-0.`),
  traceparent_trace_flags_too_long: none(`00-${trace}-${span}-001`),
  traceparent_trace_flags_too_short: none(`00-${trace}-${span}-1`),
  traceparent_ows_handling: withParents(
    true,
    ...[" ", "\t"].flatMap((blank) => [
      `${blank}00-${trace}-${span}-01`,
      `00-${trace}-${span}-01${blank}`,
      `\t 00-${trace}-${span}-01 \t`,
    ]),
  ),
  tracestate_included_traceparent_missing: [
    [[list("foo=1")], false],
    [[list("foo=1,bar=2")], false],
  ],
  tracestate_included_traceparent_included: lists([[list("foo=1,bar=2")], "foo=1,bar=2"]),
  tracestate_header_name: lists([["trace-state: foo=1"]], [["trace.state: foo=1"]]),
  tracestate_header_name_valid_casing: lists(
    [["TraceState: foo=1"], "foo=1"],
    [["TrAcEsTaTe: foo=1"], "foo=1"],
    [["TRACESTATE: foo=1"], "foo=1"],
  ),
  tracestate_empty_header: lists(
    [[list("")]],
    [[list("foo=1"), list("")], "foo=1"],
    [[list(""), list("foo=1")], "foo=1"],
  ),
  tracestate_multiple_headers_different_keys: lists([
    [list("foo=1,bar=2"), list("rojo=1,congo=2"), list("baz=3")],
    "foo=1,bar=2,rojo=1,congo=2,baz=3",
  ]),
  tracestate_duplicated_keys: lists(
    [[list("foo=1,foo=1")]],
    [[list("foo=1,foo=2")]],
    [[list("foo=1"), list("foo=1")]],
    [[list("foo=1"), list("foo=2")]],
  ),
  tracestate_all_allowed_characters: lists(
    ...[letters, `${letters}@a-z0-9_-*/`].map(
      (key) => [[list(`${key}=${allowed}`)], `${key}=${allowed}`] as const,
    ),
  ),
  tracestate_ows_handling: lists(
    [[list("foo=1 \t , \t bar=2, \t baz=3")], "foo=1,bar=2,baz=3"],
    [[list("foo=1\t \t,\t \tbar=2,\t \tbaz=3")], "foo=1,bar=2,baz=3"],
    ...[" foo=1", "\tfoo=1", "foo=1 ", "foo=1\t", "\t foo=1 \t"].map(
      (text) => [[list(text)], "foo=1"] as const,
    ),
  ),
  tracestate_key_illegal_characters: lists([[list("foo =1")]], [[list("FOO=1")]], [[list("foo.bar=1")]]),
  tracestate_key_illegal_vendor_format: lists(
    ...["foo@=1,bar=2", "@foo=1,bar=2", "foo@@bar=1,bar=2", "foo@bar@baz=1,bar=2"].map(
      (text) => [[list(text)]] as const,
    ),
  ),
  tracestate_member_count_limit: lists(
    [[list(members(1, 10)), list(members(11, 32))], members(1, 32)],
    [[list(members(1, 10)), list(members(11, 33))]],
  ),
  tracestate_key_length_limit: lists(
    [[list("foo=1"), list(`${"z".repeat(256)}=1`)], `foo=1,${"z".repeat(256)}=1`],
    [[list("foo=1"), list(`${"z".repeat(257)}=1`)]],
    [
      [list("foo=1"), list(`${"t".repeat(241)}@${"v".repeat(14)}=1`)],
      `foo=1,${"t".repeat(241)}@${"v".repeat(14)}=1`,
    ],
    [[list("foo=1"), list(`${"t".repeat(242)}@v=1`)]],
    [[list("foo=1"), list(`t@${"v".repeat(15)}=1`)]],
  ),
  tracestate_value_illegal_characters: lists([[list("foo=bar=baz")]], [[list("foo=,bar=3")]]),
  multiple_requests_with_valid_traceparent: withParents(
    true,
    ...Array.from({ length: 3 }, () => `00-${trace}-${span}-01`),
  ),
  multiple_requests_without_traceparent: [
    [[], false],
    [[], false],
    [[], false],
  ],
  multiple_requests_with_illegal_traceparent: none(
    ...Array.from({ length: 3 }, () => `00-${"0".repeat(32)}-${span}-01`),
  ),
};

describe("the public harness for Trace Context", { concurrency: true }, () => {
  let sidecar: TestSidecar;
  before(async () => {
    sidecar = await startSidecar({ policy: {}, upstream: echo });
  });
  after(() => sidecar.stop());

  const told = async (lines: readonly string[]): Promise<Told> => {
    const pairs = await seenWith(sidecar.port, ...lines);
    const [own, ...more] = pairs.filter(([name]) => name === "traceparent");
    assert.deepEqual(more, []);
    const [, traceId, spanId] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-0[0-3]$/.exec(own?.[1] ?? "") ?? [];
    return { traceId, spanId, state: pairs.find(([name]) => name === "tracestate")?.[1] };
  };

  for (const [name, requests] of Object.entries(cases)) {
    test(name, async () => {
      const spans = new Set([span]);
      for (const [lines, kept, state] of requests) {
        const { traceId, spanId = span, state: passedOn } = await told(lines);
        assert.ok(traceId !== undefined && !/^0+$/.test(traceId), lines.join());
        assert.equal(traceId === trace, kept, lines.join());
        assert.equal(passedOn, state, lines.join());
        spans.add(spanId);
      }
      assert.equal(spans.size, requests.length + 1);
    });
  }
});
