// Policy documents in Redis with their history: read, changed under an optimistic lock, brought up to date with what
// was SET past it.
import { createHash, randomUUID } from "node:crypto";
import { digestOf } from "../policy/document/digest.ts";
import { directKey, type DocumentKeys, documentKeys } from "../policy/sources/document-keys.ts";
import { replyList, type Store, StoreUnavailable } from "../plugin-api/store.ts";
import {
  changeDocument,
  maxDirectBytes,
  maxHistoryBytes,
  maxReportBytes,
  maxRevisions,
  readHistory,
  readRevision,
} from "./change-script.ts";
import { clearReports, parseReports, readReports } from "./reports.ts";
import { type Head, parseEntry, parseHead, type Revision, type RevisionKind } from "./revision.ts";

/** A policy is megabytes, and an operator waits. */
const limitMs = 5_000;

export interface Change {
  /** undefined = the key is deleted. */
  readonly document: Uint8Array | undefined;
  readonly kind: Exclude<RevisionKind, "direct">;
  readonly author: string;
  readonly reason: string;
  /** The revision that this change was made from; 0 = none. */
  readonly base: number;
  /** Of the document's signature; absent = it has none. */
  readonly signedEpoch?: number | undefined;
}

export interface Written {
  readonly revision: number;
  readonly digest: string;
  /** Epoch ms by Redis' clock. */
  readonly atMs: number;
  /** The document was there already: nothing was written. */
  readonly unchanged: boolean;
}

/** What a document holds now. */
export interface Current {
  /** undefined = there is none. */
  readonly document: Buffer | undefined;
  readonly digest: string;
  /** 0 = nothing has ever been there. */
  readonly revision: number;
  readonly head: Head | undefined;
}

/** Somebody else changed the document since. */
export class ChangeConflict extends Error {
  override readonly name = "ChangeConflict";
  readonly head: Head | undefined;

  constructor(head: Head | undefined) {
    super("the policy has changed meanwhile");
    this.head = head;
  }
}

/** A document of as high an epoch was written before: sidecars that have had it refuse this one. */
export class StaleEpoch extends Error {
  override readonly name = "StaleEpoch";

  constructor(last: number, epoch: number) {
    super(
      `it is signed with epoch ${epoch}, and one of epoch ${last} was applied: sign it anew, with a higher one`,
    );
  }
}

/** The connection was lost while the change was under way, and nobody can say whether it was made. */
export class OutcomeUnknown extends Error {
  override readonly name = "OutcomeUnknown";
}

export class PolicyHistory {
  readonly #store: Store;
  readonly #keyPrefix: string;

  constructor(store: Store, keyPrefix: string) {
    this.#store = store;
    this.#keyPrefix = keyPrefix;
  }

  /** What the document holds and which revision the history has of that, without writing anything. */
  async peek(service: string | undefined): Promise<Current & { readonly recorded: boolean }> {
    const keys = this.#keys(service);
    const [bytes, short] = await Promise.all([
      this.#store.getBytes(keys.document, limitMs),
      this.#store.get(keys.applied, limitMs),
    ]);
    const head = parseHead(short);
    const digest = bytes === null ? "" : digestOf(bytes);
    const recorded = head === undefined ? bytes === null : head.digest === digest;
    return { document: bytes ?? undefined, digest, revision: head?.revision ?? 0, head, recorded };
  }

  /** The same, once what was SET past the history has its revision there. @param by who says so, for the history */
  async current(service: string | undefined, by: string): Promise<Current> {
    await this.#takeReports(service);
    return await this.#recorded(service, by);
  }

  async #recorded(service: string | undefined, by: string): Promise<Current> {
    for (let tries = 0; tries < 20; tries++) {
      const found = await this.peek(service);
      if (found.recorded) return found;
      await this.#record(service, found.document, by);
    }
    throw new StoreUnavailable("the policy changes faster than it can be read");
  }

  /** The same for whoever only reads: where nothing may be written the history goes without that line for now. */
  async look(service: string | undefined, by: string): Promise<Current> {
    // First: ioredis leaves a server that says READONLY, and what it is asked next is lost.
    const before = await this.peek(service);
    try {
      return await this.current(service, by);
    } catch (error) {
      if (!isForbidden(error)) throw error;
      return before;
    }
  }

  /** Newest first. */
  async list(service: string | undefined, most = maxRevisions): Promise<readonly Revision[]> {
    const reply = await this.#store.run(readHistory, [this.#keys(service).history], [most, ""], limitMs);
    const entries = replyList(reply);
    return entries.flatMap((entry) => {
      const parsed = parseEntry(entry);
      if (parsed === undefined) return [];
      const { document: _, ...revision } = parsed;
      return [revision];
    });
  }

  /** One revision with its document; undefined = the history does not have it (any more). */
  async find(
    service: string | undefined,
    revision: number,
  ): Promise<(Revision & { readonly document: string | undefined }) | undefined> {
    const { history } = this.#keys(service);
    return parseEntry(await this.#store.run(readRevision, [history], [revision], limitMs));
  }

  /** All of it or nothing. Rejects with ChangeConflict when `base` is not the last revision any more. */
  async change(service: string | undefined, change: Change): Promise<Written> {
    const { document, kind, author, reason, base, signedEpoch = 0 } = change;
    const text = document === undefined ? Buffer.alloc(0) : Buffer.from(document);
    const digest = document === undefined ? "" : digestOf(text);
    const id = randomUUID();
    const deleted = document === undefined ? "1" : "";
    for (let tries = 0; tries < 20; tries++) {
      const now = await this.#recorded(service, author);
      if (now.revision !== base) throw new ChangeConflict(now.head);
      if (now.digest === digest && now.revision > 0) {
        return { revision: base, digest, atMs: Date.parse(now.head?.at ?? ""), unchanged: true };
      }
      const facts = [kind, digest, author, reason, id, "", deleted, maxRevisions, maxHistoryBytes];
      facts.push(signedEpoch);
      const reply = await this.#run(service, id, ["write", base, "", text, ...facts]);
      const [said, first, second] = reply;
      if (said === "ok") return { revision: Number(first), digest, atMs: Number(second), unchanged: false };
      if (said === "stale") throw new StaleEpoch(parseHead(String(first))?.signedEpoch ?? 0, signedEpoch);
      if (said === "conflict") throw new ChangeConflict(parseHead(String(first)));
    }
    throw new StoreUnavailable("the policy changes faster than it can be written");
  }

  /** Whether the script ran is asked again when its answer was lost: its id tells. */
  async #run(
    service: string | undefined,
    id: string,
    args: readonly (string | number | Buffer)[],
  ): Promise<readonly unknown[]> {
    const keys = this.#keys(service);
    try {
      return replyList(await this.#store.run(changeDocument, allOf(keys), args, limitMs));
    } catch (error) {
      if (!(error instanceof StoreUnavailable) || error.code !== undefined) throw error;
      if (/out of reach/.test(error.message)) throw error;
      const head = await this.#store.get(keys.applied, limitMs).then(parseHead, () => null);
      if (head?.id === id) return ["ok", head.revision, Date.parse(head.at)];
      throw new OutcomeUnknown(error.message);
    }
  }

  async #record(service: string | undefined, document: Buffer | undefined, by: string): Promise<void> {
    const mark = document === undefined ? "" : createHash("sha1").update(document).digest("hex");
    const kept = document === undefined || document.length > maxDirectBytes ? Buffer.alloc(0) : document;
    const digest = document === undefined ? "" : digestOf(document);
    const deleted = document === undefined ? "1" : "";
    const reason = document !== undefined && kept.length === 0 ? "too long to be kept" : "";
    const facts = ["direct", digest, `somebody (seen by ${by})`, reason, randomUUID(), "", deleted];
    const args = ["direct", 0, mark, kept, ...facts, maxRevisions, maxHistoryBytes];
    await this.#store.run(changeDocument, allOf(this.#keys(service)), args, limitMs);
  }

  /** Takes over what sidecars saw while no command was looking; each under the name of who said so. */
  async #takeReports(service: string | undefined): Promise<void> {
    const { document } = this.#keys(service);
    const reply = await this.#store.run(readReports, [directKey], [`${document}/`], limitMs);
    const { reports, fields } = parseReports(reply);
    for (const { document: text, reporter } of reports) {
      const fits = Buffer.byteLength(text) <= maxReportBytes;
      const mark = createHash("sha1").update(text).digest("hex");
      const facts = [
        "direct",
        digestOf(text),
        `somebody (reported by ${reporter})`,
        fits ? "" : "too long to be kept",
        randomUUID(),
        reporter === "" ? "?" : reporter,
        "",
      ];
      const args = ["report", 0, mark, fits ? text : "", ...facts, maxRevisions, maxHistoryBytes];
      await this.#store.run(changeDocument, allOf(this.#keys(service)), args, limitMs);
    }
    if (fields.length > 0) await this.#store.run(clearReports, [directKey], fields, limitMs);
  }

  #keys(service: string | undefined): DocumentKeys {
    return documentKeys(service, { sharded: this.#store.sharded !== false, keyPrefix: this.#keyPrefix });
  }
}

const allOf = ({ document, history, epoch, applied }: DocumentKeys): string[] => [
  document,
  history,
  epoch,
  applied,
];

/** Whether Redis answers that it takes no such write: of this user, or of anybody now. */
export const isForbidden = (error: unknown): boolean =>
  error instanceof StoreUnavailable && ["NOPERM", "READONLY", "OOM"].includes(error.code ?? "");
