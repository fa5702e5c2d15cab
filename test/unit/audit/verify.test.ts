// What a verifier finds: every record that was removed, changed, moved, forged or cut off, even with rewritten hashes.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Chain } from "../../../src/audit/chain.ts";
import { hashOf } from "../../../src/audit/record.ts";
import type { VerifyOptions } from "../../../src/audit/verify.ts";
import {
  access,
  assertFound,
  key,
  later,
  lines,
  options,
  person,
  place,
  startedAt,
  stranger,
  trail,
  verifyTrail,
} from "../../support/tampered-trail.ts";

describe("a trail", () => {
  test("that nobody touched has no findings", () => {
    const verified = verifyTrail(place(lines), options);
    assert.deepEqual(verified, {
      records: 32,
      chains: [{ chain: "pod-1", from: 1, to: 32, signedTo: 32 }],
      findings: [],
    });
  });

  test("shows random tamperings, each at or behind its place", () => {
    // 10,000, and as many more as one likes: node test/fuzz/audit-trail.ts
    assertFound(1_000, 16);
  });

  test("names what is wrong, and where", () => {
    const said = (texts: readonly string[]): string[] =>
      verifyTrail(place(texts), options).findings.map(({ where, problem }) => `${where} ${problem}`);
    assert.match(
      said(lines.toSpliced(9, 2)).join("\n"),
      /^audit\.jsonl:10 records 10 to 11 before it are missing/,
    );
    assert.match(
      said(lines.with(4, (lines[4] as string).replace("200", "201"))).join(),
      /^audit\.jsonl:5 record 5 is not the one that record 6/,
    );
    assert.match(
      said(lines.toSpliced(9, 0, lines[3] as string)).join(),
      /^audit\.jsonl:10 stands behind record 9/,
    );
    assert.match(said(lines.slice(2)).join(), /^audit\.jsonl:1 records 1 to 2 are missing/);
  });

  test("whose end was removed at a head is known by its age, by an anchor and by a sibling's head", () => {
    const cut = place(lines.slice(0, 16));
    assert.match(verifyTrail(cut, later).findings[0]?.problem ?? "", /was not closed/);
    const anchors = [{ chain: "pod-1", seq: 24, hash: hashOf(lines[23] as string), by: "Redis" }];
    assert.match(
      verifyTrail(cut, { ...options, anchors }).findings[0]?.problem ?? "",
      /Redis has seen record 24/,
    );
    const sibling = Chain.begin(key, "pod-2");
    const seen = [["pod-1", 24, hashOf(lines[23] as string)]];
    const head = sibling.append({ kind: "head", at: startedAt, detail: { seen, last: true } });
    assert.match(
      verifyTrail([...cut, ...place([head], "pod-2.jsonl")], options).findings[0]?.problem ?? "",
      /ends at record 16; pod-2\.jsonl:1 has seen record 24/,
    );
    assert.deepEqual(verifyTrail([...place(lines), ...place([head], "pod-2.jsonl")], options).findings, []);
  });

  test("is not made whole by what somebody writes behind its last head", () => {
    const soon = { ...options, nowMs: startedAt + 40_000 };
    const problems = (texts: readonly string[], more: VerifyOptions = soon): string =>
      verifyTrail(place(texts), more)
        .findings.map(({ problem }) => problem)
        .join("\n");
    const behind = (texts: readonly string[], record: Record<string, unknown>): string[] => {
      const prev = hashOf(texts.at(-1) as string);
      return [...texts, JSON.stringify({ seq: 33, prev, chain: "pod-1", ...record })];
    };
    const at = new Date(soon.nowMs).toISOString();
    const pruned = { kind: "pruned", of: "pod-1", to: 8, at };
    const cut = lines.slice(8);
    assert.match(problems(behind(cut, pruned)), /records 1 to 8 are missing/);
    const other = { seq: 1, prev: "", chain: "pod-2", ...pruned };
    assert.match(problems([...cut, JSON.stringify(other)]), /records 1 to 8 are missing/);
    const made = { kind: "access", decision: "allowed", at: "2099-01-01T00:00:00Z" };
    assert.match(problems(behind(lines, made), later), /is of a time to come/);
  });

  test("that follows another one misses it, unless a signed record says that it was deleted", () => {
    const follows = (signs: boolean, to: number): string[] => {
      const chain = Chain.begin(key, "pod-2");
      const after = ["pod-1", 32, hashOf(lines.at(-1) as string)];
      return [
        chain.append({ kind: "start", at: startedAt, detail: { after } }),
        chain.append({ kind: "pruned", at: startedAt, detail: { of: "pod-1", to } }),
        ...(signs ? [chain.append({ kind: "head", at: startedAt, detail: { seen: [], last: true } })] : []),
      ];
    };
    const problems = (texts: readonly string[]): string[] =>
      verifyTrail(place(texts), options).findings.map(({ problem }) => problem);
    assert.deepEqual(problems(follows(true, 32)), []);
    assert.deepEqual(problems([...lines, ...follows(true, 0)]), []);
    assert.match(problems(follows(true, 31)).join(), /all its records are missing/);
    assert.match(problems(follows(false, 32)).join(), /all its records are missing/);
  });

  test("has one spelling of a signature", () => {
    const before = lines.slice(0, -1);
    const last = lines.at(-1) as string;
    const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".split("");
    const spellings = letters
      .map((letter) => last.replace(/."\}$/, `${letter}"}`))
      .filter((line) => verifyTrail(place([...before, line]), options).findings.length === 0);
    assert.deepEqual(spellings, [last]);
  });

  test("that was signed by another key is not taken", () => {
    const { findings } = verifyTrail(place(trail("pod-1", stranger)), options);
    assert.match(findings[0]?.problem ?? "", /key that is not among those given/);
  });

  test("written anew with the key itself does not fit what siblings have seen", () => {
    const chain = Chain.begin(key, "pod-1");
    const forged = lines.map((_, at) =>
      at === 31
        ? chain.append({ kind: "head", at: startedAt, detail: { seen: [], last: true } })
        : chain.append(access(startedAt, "/other"), person),
    );
    const anchors = [{ chain: "pod-1", seq: 24, hash: hashOf(lines[23] as string), by: "pod-2" }];
    assert.match(
      verifyTrail(place(forged), { ...options, anchors }).findings[0]?.problem ?? "",
      /written anew/,
    );
  });
});
