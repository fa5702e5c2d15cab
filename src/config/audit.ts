// The settings of the audit trail: the key that signs it, where it goes, how much is kept and for how long.
import { createPrivateKey, createPublicKey } from "node:crypto";
import { parseJson } from "../language/json.ts";
import { FormatError, integer, oneOf, parsePath } from "./formats.ts";
import { optional, type Parse, secret, setting, type Setting } from "./setting.ts";

export interface AuditKeySetting {
  readonly x: string;
  readonly d: string;
}

const notOne = 'must be a private Ed25519 key as a JWK: make one with "outrigger policy keygen"';

/** Parses a JWK or a set of them. The first key signs and seals; the others still open what they sealed. */
const parseAuditKeys: Parse<readonly [AuditKeySetting, ...AuditKeySetting[]]> = (text) => {
  let document: unknown;
  try {
    document = parseJson(text);
  } catch {
    throw new FormatError(notOne);
  }
  const { keys = [document] } = Object(document) as { keys?: unknown };
  const [first, ...others] = Array.isArray(keys) ? (keys as unknown[]).map(auditKey) : [];
  if (first === undefined || others.length > 15) throw new FormatError(notOne);
  return [first, ...others];
};

function auditKey(jwk: unknown): AuditKeySetting {
  const { kty, crv, x, d } = Object(jwk) as Record<string, unknown>;
  if (kty !== "OKP" || crv !== "Ed25519" || typeof x !== "string" || typeof d !== "string")
    throw new FormatError(notOne);
  try {
    const key = createPrivateKey({ format: "jwk", key: { kty, crv, x, d } });
    if (createPublicKey(key).export({ format: "jwk" }).x === x) return { x, d };
  } catch {
    // The error is thrown below.
  }
  throw new FormatError("holds a key that is damaged, or whose public half belongs to another one");
}

const sinks = ["file", "redis", "otlp"] as const;

const parseSinks: Parse<readonly (typeof sinks)[number][]> = (text) =>
  text === "" ? [] : [...new Set(text.split(",").map((name) => oneOf(...sinks)(name.trim())))];

export const auditSettings = {
  auditKey: secret(
    "OUTRIGGER_AUDIT_KEY",
    parseAuditKeys,
    "Private Ed25519 key (JWK, or a JWKS, newest first) that signs and seals the audit trail; unset: there is none",
  ),
  auditFile: optional(
    "OUTRIGGER_AUDIT_FILE",
    parsePath,
    "File of the audit trail; with workers each process has its own, which ends in .w and its number, or in .wprimary. Unset: the stream audit:<service> in Redis",
  ),
  auditSinks: setting(
    "OUTRIGGER_AUDIT_SINKS",
    "",
    parseSinks,
    "Where records go: file, redis, or file,redis (a copy in Redis), and with otlp a copy to a collector of logs; empty, or otlp alone: the file where one is set, else Redis",
  ),
  auditFileBytes: setting(
    "OUTRIGGER_AUDIT_FILE_BYTES",
    "1073741824",
    integer(65_536, 1e13),
    "Most bytes of the audit's files together: a sixteenth, or a day, is a file; the oldest go",
  ),
  auditStream: setting(
    "OUTRIGGER_AUDIT_STREAM",
    "100000",
    integer(100, 100_000_000),
    "About how many records the stream in Redis holds",
  ),
  auditRetentionDays: setting(
    "OUTRIGGER_AUDIT_RETENTION_DAYS",
    "90",
    integer(1, 36_500),
    "Days after which audit records are deleted, and some time later the keys of their subjects",
  ),
  auditSync: setting(
    "OUTRIGGER_AUDIT_SYNC",
    "off",
    oneOf("off", "on"),
    "Whether records count as written only once the disk has them (fdatasync): on or off",
  ),
} as const satisfies Record<string, Setting<unknown>>;
