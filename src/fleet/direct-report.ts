// A policy that somebody SET past the history is told of there: the first sidecar that sees it leaves the document where
// the next command takes it over. A sidecar never writes the history itself: who takes one over must not rewrite it.
import { sameDocuments } from "../policy/layers/choose-layer.ts";
import { digestOf } from "../policy/document/digest.ts";
import { directKey, documentKeys } from "../policy/sources/document-keys.ts";
import type { RawPolicy } from "../policy/read.ts";
import type { PolicySource } from "../policy/sources/source.ts";
import { type Script, type Store, StoreUnavailable } from "../plugin-api/store.ts";

/** Documents that wait to be taken over; more are not kept. */
export const maxDirectReports = 32;
const limitMs = 1_000;

/** KEYS: direct. ARGV: name, `service/instance`, document. */
const report: Script = {
  name: "direct-report",
  lua: `
if redis.call('HLEN', KEYS[1]) >= ${maxDirectReports} then return 0 end
local time = redis.call('TIME')
local at = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('HSETNX', KEYS[1], ARGV[1], cjson.encode({ reporter = ARGV[2], document = ARGV[3], atMs = at }))`,
};
/** KEYS: direct. ARGV: name. */
const isReported: Script = {
  name: "direct-known",
  lua: "return redis.call('HEXISTS', KEYS[1], ARGV[1])",
};

export interface DirectReporterOptions {
  readonly store: Store;
  readonly keyPrefix: string;
  readonly service: string;
  readonly instance: string;
  /** Longest wait before it looks, so that of a fleet one is first. */
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

  /** The source holds other documents than before. */
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
      // Out of reach, full, or an older ACL: the history learns of it when a command next looks.
      if (!(error instanceof StoreUnavailable)) throw error;
    }
  }

  /** What the history has last is read before and after: revisions only rise, so the same one stood in between, too. */
  async #lookAt(service: string | undefined, held: Uint8Array | undefined): Promise<void> {
    const { store, keyPrefix, service: own, instance } = this.#options;
    if (held === undefined) return;
    const keys = documentKeys(service, { sharded: store.sharded !== false, keyPrefix });
    const before = await store.get(keys.applied, limitMs);
    // Most often `apply` wrote it: a whole fleet need not read it once more to know that.
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

/** The same source; what it reads that is new is looked at by the way. */
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
