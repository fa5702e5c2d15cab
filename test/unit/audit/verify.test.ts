// What a verifier finds: every record that was removed, changed, moved, made up or cut off, whoever rewrites the hashes.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Chain } from "../../../src/audit/chain.ts";
import { AuditKey, type AuditJwk, HeadVerifier } from "../../../src/audit/key.ts";
import { type AccessEvent, hashOf, parseRecord } from "../../../src/audit/record.ts";
import { subjectKey } from "../../../src/audit/subject-keys.ts";
import { type TrailLine, type VerifyOptions, verifyTrail } from "../../../src/audit/verify.ts";

const keyPair = (): AuditJwk =>
  generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" }) as AuditJwk;
const key = new AuditKey(keyPair());
const stranger = new AuditKey(keyPair());
const person = subjectKey(Buffer.alloc(32, 7));
const startedAt = Date.parse("2026-03-01T12:00:00Z");

const access = (at: number, path: string): AccessEvent => ({
  kind: "access",
  at,
  decision: "allowed",
  status: 200,
  method: "GET",
  route: "/api/*",
  policy: "d".repeat(64),
  person: { userId: "ann", address: "192.0.2.7", path },
});

/** 32 records, each eighth a head, the last one closing. */
function trail(name = "pod-1", signer = key): string[] {
  const chain = Chain.begin(signer, name);
  return Array.from({ length: 32 }, (_, index) => {
    const at = startedAt + index * 1_000;
    return (index + 1) % 8 === 0
      ? chain.append({ kind: "head", at, detail: { seen: [], ...(index === 31 && { last: true }) } })
      : chain.append(access(at, `/api/${index}`), person);
  });
}

const lines = trail();
const place = (texts: readonly string[], file = "audit.jsonl"): TrailLine[] =>
  texts.map((text, index) => ({ text, where: `${file}:${index + 1}` }));

const verifier = new HeadVerifier([key.publicKey]);
// Ed25519 takes 100 µs: heads that are as they were need not be looked at 10,000 times.
const known = new Map<string, boolean | undefined>();
const options: VerifyOptions = {
  nowMs: startedAt + 60_000,
  verify(kid, signed, signature) {
    const id = `${kid} ${signature} ${signed}`;
    if (!known.has(id)) known.set(id, verifier.verify(kid, signed, signature));
    return known.get(id);
  },
};

/** When a trail that has no end should have had one. */
const later = { ...options, nowMs: startedAt + 2 * 3_600_000 };

/** The chain from there on, as somebody without the key can write it: every hash fits, and no signature does. */
function rechained(texts: readonly string[], from: number): string[] {
  const out = texts.slice(0, from);
  let prev = from === 0 ? "" : hashOf(texts[from - 1] as string);
  for (let at = from; at < texts.length; at += 1) {
    const record = { ...parseRecord(texts[at] as string), seq: at + 1, prev };
    const line = JSON.stringify(record);
    prev = hashOf(line);
    out.push(line);
  }
  return out;
}

const index = fc.nat({ max: lines.length - 1 });
const byte = fc.integer({ min: 0x20, max: 0x7e });

/** What is done to the lines, and the number of the record at which it is done. */
type Tampered = { readonly texts: readonly string[]; readonly at: number };

const tamperings = fc.oneof(
  fc.record({ from: index, count: fc.integer({ min: 1, max: 8 }) }).map(({ from, count }): Tampered => ({
    texts: lines.toSpliced(from, count),
    at: from + 1,
  })),
  fc.tuple(index, fc.nat(), byte).map(([at, offset, code]): Tampered => {
    const line = lines[at] as string;
    const where = offset % line.length;
    const changed = line.slice(0, where) + String.fromCharCode(code) + line.slice(where + 1);
    return { texts: lines.with(at, changed), at: at + 1 };
  }),
  fc.tuple(index, index).map(([from, to]): Tampered => {
    const line = lines[from] as string;
    return { texts: lines.toSpliced(from, 1).toSpliced(to, 0, line), at: Math.min(from, to) + 1 };
  }),
  fc.tuple(index, index).map(([a, b]): Tampered => ({
    texts: lines.with(a, lines[b] as string).with(b, lines[a] as string),
    at: Math.min(a, b) + 1,
  })),
  index.map((at): Tampered => ({ texts: lines.toSpliced(at, 0, lines[at] as string), at: at + 1 })),
  index.map((at): Tampered => ({ texts: lines.slice(0, at), at: Math.max(at, 1) })),
  fc.tuple(index, fc.integer({ min: 1, max: 40 })).map(([at, left]): Tampered => ({
    texts: [...lines.slice(0, at), (lines[at] as string).slice(0, left)],
    at: at + 1,
  })),
  // Made up, with a hash that fits the one before.
  index.map((at): Tampered => {
    const before = lines[at - 1];
    const forged = {
      seq: at + 1,
      prev: before === undefined ? "" : hashOf(before),
      chain: "pod-1",
      at: "",
      kind: "access",
    };
    return { texts: lines.toSpliced(at, 0, JSON.stringify(forged)), at: at + 1 };
  }),
  // Everything behind it written anew.
  index.map((at): Tampered => {
    const changed = (lines[at] as string).replace(/"at":"[^"]*"/, '"at":"2026-03-01T11:00:00.000Z"');
    return { texts: rechained(lines.with(at, changed), at), at: at + 1 };
  }),
  fc.tuple(index, fc.integer({ min: 1, max: 4 })).map(([at, count]): Tampered => ({
    texts: rechained(lines.toSpliced(at, count), at),
    at: at + 1,
  })),
);

const nothing = ({ texts }: Tampered): boolean =>
  texts.length === lines.length && texts.every((text, at) => text === lines[at]);

describe("a trail", () => {
  test("that nobody touched has no findings", () => {
    const verified = verifyTrail(place(lines), options);
    assert.deepEqual(verified, {
      records: 32,
      chains: [{ chain: "pod-1", from: 1, to: 32, signedTo: 32 }],
      findings: [],
    });
  });

  test("shows 10,000 random tamperings, each at or behind its place", () => {
    fc.assert(
      fc.property(tamperings, (tampered) => {
        fc.pre(!nothing(tampered));
        // Nothing is left that could show it: an empty file is no trail, and the command says so.
        fc.pre(tampered.texts.length > 0);
        const { findings } = verifyTrail(place(tampered.texts), later);
        // At its place, or by the next head at the latest.
        const near = findings.some(({ where }) => {
          const line = Number(where.split(":")[1]);
          return line >= tampered.at - 1 && line <= Math.ceil((tampered.at + 8) / 8) * 8;
        });
        const told = findings.map(({ where, problem }) => `${where} ${problem}`);
        assert.ok(near, `done at ${tampered.at}, found: ${told.join("; ").slice(0, 400)}`);
      }),
      { numRuns: 10_000, seed: 16 },
    );
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
