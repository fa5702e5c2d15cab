// A trail of 32 records, and random tampering: records removed, changed, moved, repeated, cut off or forged, and
// everything behind them rewritten.
import assert from "node:assert/strict";
import fc from "fast-check";
import { Chain } from "../../src/audit/chain.ts";
import { AuditKey, HeadVerifier } from "../../src/audit/key.ts";
import { type AccessEvent, hashOf, parseRecord } from "../../src/audit/record.ts";
import { subjectKey } from "../../src/audit/subject-keys.ts";
import { type TrailLine, TrailVerifier, type Verified, type VerifyOptions } from "../../src/audit/verify.ts";
import { auditJwk } from "./audit.ts";

export function verifyTrail(lines: Iterable<TrailLine>, options: VerifyOptions): Verified {
  const verifier = new TrailVerifier(options);
  for (const line of lines) verifier.add(line);
  return verifier.end();
}

export const key = new AuditKey(auditJwk());
export const stranger = new AuditKey(auditJwk());
export const person = subjectKey(Buffer.alloc(32, 7));
export const startedAt = Date.parse("2026-03-01T12:00:00Z");

export const access = (at: number, path: string): AccessEvent => ({
  kind: "access",
  at,
  decision: "allowed",
  status: 200,
  method: "GET",
  route: "/api/*",
  policy: "d".repeat(64),
  person: { userId: "ann", address: "192.0.2.7", path },
});

/** Makes 32 records: every eighth is a head, the last one closes the trail. */
export function trail(name = "pod-1", signer = key): string[] {
  const chain = Chain.begin(signer, name);
  return Array.from({ length: 32 }, (_, index) => {
    const at = startedAt + index * 1_000;
    return (index + 1) % 8 === 0
      ? chain.append({ kind: "head", at, detail: { seen: [], ...(index === 31 && { last: true }) } })
      : chain.append(access(at, `/api/${index}`), person);
  });
}

export const lines = trail();
export const place = (texts: readonly string[], file = "audit.jsonl"): TrailLine[] =>
  texts.map((text, index) => ({ text, where: `${file}:${index + 1}` }));

export const verifier = new HeadVerifier([key.publicKey]);
// A cache: Ed25519 takes 100 µs, and unchanged heads need not be verified 10,000 times.
const known = new Map<string, boolean | undefined>();
export const options: VerifyOptions = {
  nowMs: startedAt + 60_000,
  verify(kid, signed, signature) {
    const id = `${kid} ${signature} ${signed}`;
    if (!known.has(id)) known.set(id, verifier.verify(kid, signed, signature));
    return known.get(id);
  },
};

/** Verification at a time at which a trail should have ended. */
export const later = { ...options, nowMs: startedAt + 2 * 3_600_000 };

/** Rewrites the chain from that index on, as somebody without the key can: every hash fits, and no signature does. */
export function rechained(texts: readonly string[], from: number): string[] {
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

/** The tampered lines, and the number of the first tampered record. */
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
  // A forged record, with a hash that fits the record before.
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
  // Everything behind the record is rewritten.
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

/** @throws Error with the tampering that a verifier finds neither at its place nor by the next head */
export function assertFound(runs: number, seed?: number): void {
  fc.assert(
    fc.property(tamperings, (tampered) => {
      fc.pre(!nothing(tampered));
      // Nothing is left to verify: an empty file is no trail, and the command says so.
      fc.pre(tampered.texts.length > 0);
      const { findings } = verifyTrail(place(tampered.texts), later);
      const near = findings.some(({ where }) => {
        const line = Number(where.split(":")[1]);
        return line >= tampered.at - 1 && line <= Math.ceil((tampered.at + 8) / 8) * 8;
      });
      const told = findings.map(({ where, problem }) => `${where} ${problem}`);
      assert.ok(near, `done at ${tampered.at}, found: ${told.join("; ").slice(0, 400)}`);
    }),
    { numRuns: runs, ...(seed !== undefined && { seed }) },
  );
}
