// Reports a policy that a plain SET put past the history. The first sidecar that sees it leaves the document for the
// next command, which adds it to the history. Sidecars never write the history themselves: a compromised one must not
// rewrite it.
import { sameDocuments } from "../policy/layers/choose-layer.ts";
import { digestOf } from "../policy/document/digest.ts";
import { directKey, documentKeys } from "../policy/sources/document-keys.ts";
import type { RawPolicy } from "../policy/read.ts";
import type { PolicySource } from "../policy/sources/source.ts";
import { type Script, type Store, StoreUnavailable } from "../plugin-api/store.ts";

/** Most documents that wait for a command; more are not kept. */
export const maxDirectReports = 32;
const limitMs = 1_000;

/** Writes a report. KEYS: direct. ARGV: name, `service/instance`, document. @returns 1 = written */
const report: Script = {
  name: "direct-report",
  lua: `
if redis.call('HLEN', KEYS[1]) >= ${maxDirectReports} then return 0 end
local time = redis.call('TIME')
local at = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('HSETNX', KEYS[1], ARGV[1], cjson.encode({ reporter = ARGV[2], document = ARGV[3], atMs = at }))`,
};
/** KEYS: direct. ARGV: name. @returns 1 = there is such a report */
const isReported: Script = {
  name: "direct-known",
  lua: "return redis.call('HEXISTS', KEYS[1], ARGV[1])",
};

export interface DirectReporterOptions {
  readonly store: Store;
  readonly keyPrefix: string;
  readonly service: string;
  readonly instance: string;
  /** Longest delay before a look, so that one sidecar of a fleet is first. */
  readonly spreadMs?: number;
  readonly random?: () => number;
}

class DirectReporter {
  readonly #options: DirectReporterOptions;
  #timer: NodeJS.Timeout | undefined;
  #held: RawPolicy | undefined;
  #work: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: DirectReporterOptions) {
    this.#options = options;
  }

  /** Called when the source holds other documents than before. */
  trigger(held: RawPolicy): void {
    const { spreadMs = 300, random = Math.random } = this.#options;
    this.#held = held;
    if (this.#stopped) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#work = this.#work.then(() => this.#look());
    }, spreadMs * random());
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#work;
  }

  async #look(): Promise<void> {
    try {
      await this.#lookAt(undefined, this.#held?.shared);
      await this.#lookAt(this.#options.service, this.#held?.layer);
    } catch (error) {
      // Redis is unreachable or full, or its ACL is from an older version: the next command adds the document to the
      // history.
      if (!(error instanceof StoreUnavailable)) throw error;
    }
  }

  /**
   * Reads the last revision before and after the document. Revisions only rise, so an equal one did not change in
   * between.
   */
  async #lookAt(service: string | undefined, held: Uint8Array | undefined): Promise<void> {
    const { store, keyPrefix, service: own, instance } = this.#options;
    if (held === undefined) return;
    const keys = documentKeys(service, { sharded: store.sharded !== false, keyPrefix });
    const before = await store.get(keys.applied, limitMs);
    // Most often `apply` wrote the document: then a whole fleet need not read it once more.
    if (digestIn(before) === digestOf(held)) return;
    const document = await store.getBytes(keys.document, limitMs);
    if (document === null) return;
    const digest = digestOf(document);
    if (digestIn(before) === digest) return;
    const name = `${keys.document}/${digest}`;
    if ((await store.run(isReported, [directKey], [name], limitMs)) === 1) return;
    if ((await store.get(keys.applied, limitMs)) !== before) return;
    await store.run(report, [directKey], [name, `${own}/${instance}`, document], limitMs);
  }
}

function digestIn(applied: string | null): unknown {
  try {
    return applied === null ? undefined : (JSON.parse(applied) as { digest?: unknown } | null)?.digest;
  } catch {
    return undefined;
  }
}

/** @returns a source that works like the given one, and reports new documents on the way */
export function withDirectReports(source: PolicySource, options: DirectReporterOptions): PolicySource {
  const reporter = new DirectReporter(options);
  let last: RawPolicy | undefined;
  return {
    kind: source.kind,
    get polledBecause() {
      return source.polledBecause ?? null;
    },
    start(onReading) {
      source.start((reading) => {
        if (reading.state === "read" && (last === undefined || !sameDocuments(last, reading.raw))) {
          last = reading.raw;
          reporter.trigger(reading.raw);
        }
        onReading(reading);
      });
    },
    async stop() {
      await source.stop();
      await reporter.stop();
    },
  };
}
