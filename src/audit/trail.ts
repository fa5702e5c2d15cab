// Writes records into the chain, in order, one batch at a time. A batch that cannot be written is retried. Records that
// find no room meanwhile are lost and counted, and a record of the chain says how many.
import { untilLimit } from "../plugin-api/within-limit.ts";
import { Chain, type Tail } from "./chain.ts";
import { Insistence } from "./insistence.ts";
import { Losses } from "./losses.ts";
import type { AuditEvent, ChangeEvent, SeenHead } from "./record.ts";
import type { Found, Written } from "./sink.ts";
import { subjectOf } from "./subject-keys.ts";
import { type TrailLimits, type TrailOptions, usualLimits } from "./trail-options.ts";

const maxBatch = 256;
/** Also without new records a head is written at this interval, so that a removed end is noticed. */
const idleHeadMs = 3_600_000;

interface Entry {
  readonly event: AuditEvent;
  settle: ((written: boolean) => void) | undefined;
}

/** Lines for the sink, retried until it has them. */
interface Batch {
  readonly lines: readonly string[];
  readonly first: number;
  readonly entries: readonly Entry[];
  /** The last head in the batch. */
  readonly head: Tail | undefined;
}

export class Trail {
  readonly #options: TrailOptions;
  readonly #limits: TrailLimits;
  readonly #insistence: Insistence;
  readonly #losses: Losses;
  #queue: Entry[] = [];
  #chain: Chain | undefined;
  #running: Promise<void> | undefined;
  #delay: NodeJS.Timeout | undefined;
  #heads: NodeJS.Timeout | undefined;
  /** Why writing fails; "" = it works. */
  #trouble = "";
  #headAtMs = 0;
  #sinceHead = 0;
  #closing = false;
  /** Settles when siblings can see the last head. */
  #shown: Promise<void> | undefined;

  constructor(options: TrailOptions) {
    this.#options = options;
    this.#limits = { ...usualLimits, ...options.limits };
    this.#losses = new Losses(options.records("lost"));
    this.#insistence = new Insistence(this.#limits.retryMs);
    this.#heads = setInterval(() => void this.#head(false), this.#limits.headEveryMs).unref();
    this.#wake(true);
  }

  /** Whether records are being written. */
  get writes(): boolean {
    return this.#trouble === "";
  }

  /** Whether an answer to this person can be sent with its record written. */
  takes(person: Parameters<typeof subjectOf>[0], atMs: number): boolean {
    if (!this.writes) return false;
    const { subjects } = this.#options;
    return !subjects.away || subjects.isKept(subjectOf(person, atMs));
  }

  /** Adds a record that no answer waits for. */
  add(event: AuditEvent): void {
    if (!this.#hasRoom(event)) return;
    this.#queue.push({ event, settle: undefined });
    this.#wake(this.#queue.length >= maxBatch);
  }

  /** @returns whether the record is written; false if that is not certain within the time limit. Never rejects */
  write(event: AuditEvent): Promise<boolean> {
    if (!this.writes || !this.#hasRoom(event)) {
      if (!this.writes) this.#lose(event.at);
      return Promise.resolve(false);
    }
    return new Promise((settle) => {
      this.#queue.push({ event, settle });
      this.#wake(true);
    });
  }

  change(what: ChangeEvent["what"], detail: Readonly<Record<string, unknown>>): void {
    this.add({ kind: "change", at: this.#options.clock.now(), what, detail });
  }

  /** Writes the waiting records and a last head. Each step ends within `limitMs`. Never rejects. */
  async close(limitMs: number): Promise<void> {
    clearInterval(this.#heads);
    await untilLimit(this.#head(true), limitMs / 2);
    this.#closing = true;
    this.#insistence.end();
    this.#wake(true);
    await untilLimit(this.#running ?? Promise.resolve(), limitMs);
    clearTimeout(this.#delay);
    const left = this.#queue.splice(0);
    if (left.length > 0) this.#options.records("lost").inc(left.length);
    for (const { settle } of left) settle?.(false);
    const copied = this.#options.copies.map((copy) => copy.close(limitMs));
    await untilLimit(Promise.all([...copied, this.#shown]), limitMs);
    await untilLimit(this.#options.sink.close(), limitMs);
  }

  #hasRoom(event: AuditEvent): boolean {
    if (this.#queue.length < this.#limits.queued && !this.#closing) return true;
    this.#lose(event.at);
    return false;
  }

  #lose(atMs: number): void {
    if (this.#losses.add(atMs) && this.#trouble === "")
      this.#options.logger.error(
        { queued: this.#limits.queued },
        "audit records come faster than they can be written: some are lost; a record will say how many",
      );
  }

  #wake(now: boolean): void {
    if (this.#running !== undefined) return;
    if (!now) {
      this.#delay ??= setTimeout(() => this.#start(), this.#limits.delayMs);
      return;
    }
    clearTimeout(this.#delay);
    // The records of one turn of the event loop go into one batch.
    this.#running = new Promise<void>((resolve) => setImmediate(resolve))
      .then(() => this.#run())
      .finally(() => {
        this.#running = undefined;
        if (this.#queue.length > 0 && !this.#closing) this.#wake(true);
      });
    this.#delay = undefined;
  }

  #start(): void {
    this.#delay = undefined;
    this.#wake(true);
  }

  async #run(): Promise<void> {
    this.#chain ??= await this.#inTime([], () => this.#insist(() => this.#open()));
    while (this.#queue.length > 0 && this.#chain !== undefined) {
      const entries = this.#queue.splice(0, maxBatch);
      const chain = this.#chain;
      const written = await this.#inTime(entries, () => this.#writeBatch(chain, entries));
      if (written === undefined) return;
    }
  }

  /** Answers do not wait past their limit, whatever hangs; their records are still written when possible. */
  async #inTime<Result>(entries: readonly Entry[], work: () => Promise<Result>): Promise<Result> {
    const late = setTimeout(() => this.#fail("no answer in time", entries), this.#limits.waitMs);
    try {
      return await work();
    } finally {
      clearTimeout(late);
    }
  }

  /** @returns undefined when the trail is closed before the batch is written */
  async #writeBatch(chain: Chain, entries: Entry[]): Promise<Written | undefined> {
    const { sink, logger } = this.#options;
    const batch = await this.#lines(chain, entries);
    const written = await this.#insist(() => sink.write(batch.lines, batch.first), entries);
    this.#settle(batch, written !== undefined);
    const { pruned, unpruned } = written ?? {};
    if (pruned !== undefined) {
      this.#say("pruned", { of: pruned.chain, to: pruned.seq });
      // The deletion is only accepted by verification once a signed head covers it.
      void this.#head(false);
    }
    if (unpruned !== undefined)
      logger.warn({ reason: unpruned }, "old audit files cannot be deleted: they take more and more room");
    return written;
  }

  async #open(): Promise<Chain> {
    const { sink, name, key, facts, clock, heads, logger } = this.#options;
    const { tail, after, repaired }: Found = await sink.open(name);
    const shown = await heads?.own(name, clock.now());
    const isBehind = shown !== undefined && shown[1] > (tail?.seq ?? 0);
    const chain = tail === undefined ? Chain.begin(key, name) : new Chain(key, tail);
    const detail = {
      ...facts,
      ...(after && { after: [after.chain, after.seq, after.hash] }),
      ...(repaired && { repaired }),
      ...(isBehind && { shown }),
    };
    if (isBehind)
      logger.warn(
        { record: tail?.seq ?? 0, shown: shown[1] },
        "the audit trail ends before the last head that this sidecar has shown in Redis: records were removed or lost; a record says so",
      );
    if (repaired !== undefined)
      logger.warn({ ...repaired }, "the end of the audit file was damaged; a record says so");
    this.#queue.unshift({ event: { kind: "start", at: clock.now(), detail }, settle: undefined });
    this.#headAtMs = clock.now();
    return chain;
  }

  /** @returns undefined when the trail is closed before the work succeeds */
  async #insist<Result>(
    work: () => Promise<Result>,
    waiting: readonly Entry[] = [],
  ): Promise<Result | undefined> {
    const result = await this.#insistence.on(work, (reason) => this.#fail(reason, waiting));
    if (result !== undefined) this.#well();
    return result;
  }

  async #lines(chain: Chain, entries: Entry[]): Promise<Batch> {
    const { subjects, clock } = this.#options;
    const nowMs = clock.now();
    const detail = this.#losses.take();
    if (detail !== undefined)
      entries.unshift({ event: { kind: "gap", at: nowMs, detail }, settle: undefined });
    const persons = entries.map(({ event }) =>
      event.kind === "access" ? subjectOf(event.person, event.at) : undefined,
    );
    await subjects.prepare(new Set(persons.filter((subject) => subject !== undefined)), nowMs);
    const first = chain.tail.seq + 1;
    let head: Tail | undefined;
    const lines = entries.map(({ event }, at) => {
      const subject = persons[at];
      const line = chain.append(event, subject === undefined ? undefined : subjects.of(subject));
      if (event.kind === "head") head = chain.tail;
      return line;
    });
    for (const [at, entry] of entries.entries()) {
      const subject = persons[at];
      if (subject !== undefined && entry.settle !== undefined && !subjects.isKept(subject))
        this.#refuse([entry]);
    }
    return { lines, first, entries, head };
  }

  #settle({ lines, first, entries, head }: Batch, written: boolean): void {
    const { records, copies, heads, clock } = this.#options;
    records(written ? "written" : "lost").inc(lines.length);
    for (const { settle } of entries) settle?.(written);
    if (!written) return;
    for (const copy of copies) copy.add(lines, first);
    this.#sinceHead += lines.length;
    if (head === undefined) return;
    this.#sinceHead = first + lines.length - 1 - head.seq;
    this.#headAtMs = clock.now();
    this.#shown = heads?.show(head, clock.now());
  }

  /** Adds a head: it signs the records since the last one, and names the last heads of siblings. */
  async #head(last: boolean): Promise<void> {
    const { heads, clock, name } = this.#options;
    const idle = this.#sinceHead === 0 && this.#queue.length === 0;
    if (idle && !last && Math.abs(clock.now() - this.#headAtMs) < idleHeadMs) return;
    const seen: readonly SeenHead[] = (await heads?.seen(name, clock.now())) ?? [];
    this.#say("head", { seen, ...(last && { last: true }) });
  }

  /** Adds a record about the trail itself, which gets room beyond the queue's bound. */
  #say(kind: "head" | "pruned", detail: Readonly<Record<string, unknown>>): void {
    if (this.#queue.length > this.#limits.queued + maxBatch) return;
    this.#queue.push({ event: { kind, at: this.#options.clock.now(), detail }, settle: undefined });
    this.#wake(true);
  }

  #fail(reason: string, entries: readonly Entry[]): void {
    if (this.#trouble === "")
      this.#options.logger.error(
        { reason },
        "audit records cannot be written; they wait in memory, and are lost when it is full (see OUTRIGGER_AUDIT_FILE, REDIS_URL)",
      );
    this.#trouble = reason;
    this.#refuse(entries);
    this.#refuse(this.#queue);
  }

  #refuse(entries: readonly Entry[]): void {
    for (const entry of entries) {
      entry.settle?.(false);
      entry.settle = undefined;
    }
  }

  #well(): void {
    if (this.#trouble === "") return;
    this.#trouble = "";
    this.#options.logger.info({ lost: this.#losses.count }, "audit records are written again");
  }
}
