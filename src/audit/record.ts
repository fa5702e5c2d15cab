// Records of the audit trail, and the bytes that stand for one: a line of JSON whose members are in the order in which
// they are written here. What is hashed and signed are those bytes, never a reading of them.
import { hash } from "node:crypto";

/** What became of a request, as far as access goes. */
export type Decision =
  /** The service was asked, and the answer is its own. */
  | "allowed"
  /** A plugin answered in the service's place: from a cache, with a redirect, with a page. */
  | "answered"
  | "refused"
  /** Nothing was decided against the caller: the service, or something that the answer needed, was not there. */
  | "failed"
  /** What had been let in was ended. */
  | "revoked"
  /** The client was gone before there was an answer. */
  | "unanswered";

export const decisions: readonly Decision[] = [
  "allowed",
  "answered",
  "refused",
  "failed",
  "revoked",
  "unanswered",
];

/** What is about a person: sealed with the key of its subject, and nowhere in clear. */
export interface PersonalFields {
  readonly userId?: string | undefined;
  readonly issuer?: string | undefined;
  readonly credential?: string | undefined;
  readonly address: string;
  /** Without its query. */
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
  /** Of the error that was answered. */
  readonly code?: string | undefined;
  /** The rule that refused, as the plugin names it. */
  readonly rule?: string | undefined;
  /** How the caller showed who it is. */
  readonly credentialKind?: string | undefined;
  /** Digest of the policy that decided. */
  readonly policy: string;
  readonly trace?: string | undefined;
  readonly person: PersonalFields;
}

/** Something that changes what is decided, or shows exchanges to somebody. */
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

/** What the trail says of itself. */
export interface TrailEvent {
  readonly kind: "start" | "gap" | "pruned" | "head";
  readonly at: number;
  readonly detail: Readonly<Record<string, unknown>>;
}

export type AuditEvent = AccessEvent | ChangeEvent | TrailEvent;

/** The last head of another chain, as it was seen. */
export type SeenHead = readonly [chain: string, seq: number, hash: string];

/** Where a record stands. */
export interface Place {
  readonly chain: string;
  /** 1 = the chain's first. */
  readonly seq: number;
  /** Hash of the record before. */
  readonly prev: string;
}

/** What comes before a chain's first record. */
export const noHash = "";

/** Of a record's bytes. */
export const hashOf = (line: string): string => hash("sha256", line, "base64url");

/** A record as readers have it: whatever somebody wrote into the line. */
export type ReadRecord = Readonly<Record<string, unknown>>;

/** @param sealed the personal fields, sealed, with the tag that those of one subject have in common */
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

/** A head's line with the signature over the line without it. */
export function signedLine(line: string, kid: string, sign: (text: string) => string): string {
  const unsigned = `${line.slice(0, -1)},"kid":"${kid}"}`;
  return `${unsigned.slice(0, -1)},"sig":"${sign(unsigned)}"}`;
}

const signatureAtEnd = /,"sig":"([A-Za-z0-9_-]+)"\}$/;

/** @returns what was signed, and the signature; undefined = the line has none */
export function unsignedOf(line: string): { readonly signed: string; readonly sig: string } | undefined {
  const sig = signatureAtEnd.exec(line)?.[1];
  return sig === undefined ? undefined : { signed: line.replace(signatureAtEnd, "}"), sig };
}

/** @returns undefined for what is no record at all */
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
