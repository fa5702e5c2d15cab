// Defines audit records and their exact bytes: one line of JSON, with members in the order written here. Hashes and
// signatures are over these bytes, never over a parsed form.
import { hash } from "node:crypto";

/** The access decision on a request. */
export type Decision =
  /** The service was asked and gave the answer. */
  | "allowed"
  /** A plugin answered instead of the service: from a cache, with a redirect, with a page. */
  | "answered"
  | "refused"
  /** No decision against the caller: the service, or something else that was needed, was unavailable. */
  | "failed"
  /** Access that had been granted was ended. */
  | "revoked"
  /** The client left before there was an answer. */
  | "unanswered";

export const decisions: readonly Decision[] = [
  "allowed",
  "answered",
  "refused",
  "failed",
  "revoked",
  "unanswered",
];

/** Data about a person. It is always sealed with the subject's key, never stored in clear. */
export interface PersonalFields {
  readonly userId?: string | undefined;
  readonly issuer?: string | undefined;
  readonly credential?: string | undefined;
  readonly address: string;
  /** Without the query. */
  readonly path: string;
  readonly requestId?: string | undefined;
}

/** A decision about access. */
export interface AccessEvent {
  readonly kind: "access";
  readonly at: number;
  readonly decision: Decision;
  /** 0 = none was sent. */
  readonly status: number;
  readonly method: string;
  /** The route's pattern. */
  readonly route: string;
  /** The plugin that answered. */
  readonly by?: string | undefined;
  /** Error code of the answer. */
  readonly code?: string | undefined;
  /** The rule that refused, as the plugin names it. */
  readonly rule?: string | undefined;
  /** The authentication method of the caller. */
  readonly credentialKind?: string | undefined;
  /** Digest of the policy that decided. */
  readonly policy: string;
  readonly trace?: string | undefined;
  readonly person: PersonalFields;
}

/** A change to what is decided, or exchanges being shown to somebody. */
export interface ChangeEvent {
  readonly kind: "change";
  readonly at: number;
  readonly what:
    | "policy"
    | "keys"
    | "kill-switch"
    | "log-level"
    | "plugins"
    | "secrets"
    | "drain"
    | "tap"
    | "drill";
  readonly detail: Readonly<Record<string, unknown>>;
}

/** A record of the trail about itself. */
export interface TrailEvent {
  readonly kind: "start" | "gap" | "pruned" | "head";
  readonly at: number;
  readonly detail: Readonly<Record<string, unknown>>;
}

export type AuditEvent = AccessEvent | ChangeEvent | TrailEvent;

/** The latest head of another chain, as seen in Redis. */
export type SeenHead = readonly [chain: string, seq: number, hash: string];

/** Position of a record. */
export interface Place {
  readonly chain: string;
  /** 1 = the first of the chain. */
  readonly seq: number;
  /** Hash of the previous record. */
  readonly prev: string;
}

/** Value of `prev` in a chain's first record. */
export const noHash = "";

/** Hash of a record's line. */
export const hashOf = (line: string): string => hash("sha256", line, "base64url");

/** A record as read back: not validated. */
export type ReadRecord = Readonly<Record<string, unknown>>;

/** @param sealed the encrypted personal fields, and the tag that all records of the subject share */
export function lineOf(
  place: Place,
  event: AuditEvent,
  sealed?: { readonly subject: string; readonly sealed: string },
): string {
  const { chain, seq, prev } = place;
  const head = { seq, prev, chain, at: new Date(event.at).toISOString(), kind: event.kind };
  if (event.kind === "change") return JSON.stringify({ ...head, what: event.what, ...event.detail });
  if (event.kind !== "access") return JSON.stringify({ ...head, ...event.detail });
  const { decision, status, method, route, by, code, rule, credentialKind, policy, trace } = event;
  const what = { decision, status, method, route, by, code, rule, credentialKind, policy, trace };
  return JSON.stringify({ ...head, ...what, ...sealed });
}

/** Adds kid and signature to a head's line; the signature covers the line with the kid. */
export function signedLine(line: string, kid: string, sign: (text: string) => string): string {
  const unsigned = `${line.slice(0, -1)},"kid":"${kid}"}`;
  return `${unsigned.slice(0, -1)},"sig":"${sign(unsigned)}"}`;
}

const signatureAtEnd = /,"sig":"([A-Za-z0-9_-]+)"\}$/;

/** @returns the signed text and the signature; undefined = the line has no signature */
export function unsignedOf(line: string): { readonly signed: string; readonly sig: string } | undefined {
  const sig = signatureAtEnd.exec(line)?.[1];
  return sig === undefined ? undefined : { signed: line.replace(signatureAtEnd, "}"), sig };
}

/** @returns undefined when the line is not a record */
export function parseRecord(line: string): (ReadRecord & Place) | undefined {
  try {
    const record = JSON.parse(line) as Record<string, unknown> | null;
    if (record === null || typeof record !== "object") return undefined;
    const { seq, prev, chain } = record;
    if (!Number.isSafeInteger(seq) || typeof prev !== "string" || typeof chain !== "string") return undefined;
    return record as ReadRecord & Place;
  } catch {
    return undefined;
  }
}
