// Reads and changes policy documents in Redis with their history. Changes use an optimistic lock. Documents from a
// plain SET, which bypasses the history, are added to it first.
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

/** A policy may have megabytes, and only an operator waits for it. */
const limitMs = 5_000;

export interface Change {
  /** undefined = the key is deleted. */
  readonly document: Uint8Array | undefined;
  readonly kind: Exclude<RevisionKind, "direct">;
  readonly author: string;
  readonly reason: string;
  /** The revision that this change was made from; 0 = none. */
  readonly base: number;
  /** Epoch of the document's signature; absent = it has none. */
  readonly signedEpoch?: number | undefined;
}

export interface Written {
  readonly revision: number;
  readonly digest: string;
  /** Epoch ms by Redis' clock. */
  readonly atMs: number;
  /** The document was there already, and nothing was written. */
  readonly unchanged: boolean;
}

/** The current content of a document's key. */
export interface Current {
  /** undefined = there is no document. */
  readonly document: Buffer | undefined;
  readonly digest: string;
  /** 0 = there has never been a document. */
  readonly revision: number;
  readonly head: Head | undefined;
}

/** Someone else has changed the document since. */
export class ChangeConflict extends Error {
  override readonly name = "ChangeConflict";
  readonly head: Head | undefined;

  constructor(head: Head | undefined) {
    super("the policy has changed meanwhile");
    this.head = head;
  }
}

/** A document with an epoch as high was written before: sidecars that have had it would refuse this one. */
export class StaleEpoch extends Error {
  override readonly name = "StaleEpoch";

  constructor(last: number, epoch: number) {
    super(
      `it is signed with epoch ${epoch}, and one of epoch ${last} was applied: sign it anew, with a higher one`,
    );
  }
}

/** The connection was lost during the change: it is unknown whether it was made. */
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

  /** Reads the document and its revision in the history, without writing. */
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

  /** Reads the document, and first gives a plain SET its revision. @param by who noticed the SET, for the history */
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

  /**
   * Reads like `current`, for readers: where writing is not allowed, the plain SET gets no line in the history for now.
   */
  async look(service: string | undefined, by: string): Promise<Current> {
    // Peek first: ioredis disconnects from a server that answers READONLY, and loses the next command.
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

  /** @returns one revision with its document; undefined = the history does not have it, or no longer */
  async find(
    service: string | undefined,
    revision: number,
  ): Promise<(Revision & { readonly document: string | undefined }) | undefined> {
    const { history } = this.#keys(service);
    return parseEntry(await this.#store.run(readRevision, [history], [revision], limitMs));
  }

  /**
   * Writes the change, all or nothing. Rejects with ChangeConflict when `base` is no longer the last revision,
   * StaleEpoch, or OutcomeUnknown.
   */
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

  /** Runs the script. If its answer is lost, the id of the last revision tells whether it ran. */
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

  /** Adds changes to the history that sidecars saw while no command looked; each names the sidecar that reported it. */
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

/** Whether Redis refuses such a write, from this user (NOPERM) or from anybody at the moment. */
export const isForbidden = (error: unknown): boolean =>
  error instanceof StoreUnavailable && ["NOPERM", "READONLY", "OOM"].includes(error.code ?? "");
