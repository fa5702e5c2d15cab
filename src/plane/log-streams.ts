// Merges the log streams of many services into one, in the order of Redis' clock: the last lines first, then new ones.
// It holds at most one page of each stream.
import { replyList, type Script, type Store } from "../plugin-api/store.ts";
import { services } from "./fleet.ts";

export interface LogEntry {
  readonly service: string;
  /** Id of the entry in its stream, by Redis' clock: `<epoch ms>-<number>`. */
  readonly id: string;
  /** The line as the sidecar wrote it: JSON, unless another program wrote to the stream. */
  readonly line: string;
}

interface Stream {
  readonly service: string;
  /** Id of the last entry that was returned. */
  seen: string;
}

interface Page {
  readonly nowMs: number;
  readonly entries: readonly LogEntry[];
  /** Whether the stream may have more entries. */
  readonly full: boolean;
}

/** Most keys of one script call: Redis serves nobody else while it runs. */
const keysAtOnce = 100;
const callsAtOnce = 50;
const maxHeld = 20_000;
const limitMs = 5_000;
const servicesEveryMs = 5_000;

/** A key of another type is no log stream; it must not keep the others from being read. */
const body = (range: string): string => `
local t = redis.call('TIME')
local pages = {}
for i, key in ipairs(KEYS) do
  local page = redis.pcall(${range}, 'COUNT', ARGV[1])
  if page.err and not string.find(page.err, 'WRONGTYPE') then return page end
  pages[i] = page.err and {} or page
end
return { t[1] * 1000 + math.floor(t[2] / 1000), pages }`;
const readOlder: Script = { name: "logs-older", lua: body("'XREVRANGE', key, ARGV[i + 1], '-'") };
const readNewer: Script = { name: "logs-newer", lua: body("'XRANGE', key, ARGV[i + 1], '+'") };

export class LogStreams {
  readonly #store: Store;
  /** undefined = all services. */
  readonly #service: string | undefined;
  readonly #streams = new Map<string, Stream>();
  #lookedAtMono = -Infinity;
  /** Times by Redis' clock: of the last answer, and of the last answer before the list of services was read. */
  #nowMs = 0;
  #lookedAtMs = 0;
  readonly #fromMs: number;

  /** @param fromMs where `next` begins if `last` was not called before; epoch milliseconds */
  constructor(store: Store, service: string | undefined, fromMs = 0) {
    this.#store = store;
    this.#service = service;
    this.#fromMs = fromMs;
  }

  /** Number of services whose streams are read. */
  get size(): number {
    return this.#streams.size;
  }

  /**
   * Reads the last entries that match, oldest first; `next` continues after them. Rejects with StoreUnavailable, as
   * `next` does.
   */
  async last(count: number, matches: (entry: LogEntry) => boolean): Promise<readonly LogEntry[]> {
    await this.#look();
    const streams = [...this.#streams.values()];
    // For each stream: entries that were read but not taken, newest first, and where to read on; undefined = its end is
    // reached.
    const held = streams.map((stream) => ({
      stream,
      entries: [] as LogEntry[],
      from: "+" as string | undefined,
    }));
    const found: LogEntry[] = [];
    for (let first = true; first || found.length < count; first = false) {
      const asked = held.filter(({ entries, from }) => entries.length === 0 && from !== undefined);
      const pages = await this.#read(
        readOlder,
        asked.map(({ stream, from = "+" }) => [stream.service, from]),
      );
      for (const [at, each] of asked.entries()) {
        const { nowMs, entries, full } = pages[at] as Page;
        each.entries = [...entries];
        each.from = full ? `(${entries.at(-1)?.id}` : undefined;
        if (first) each.stream.seen = entries[0]?.id ?? `${nowMs - 1}-0`;
      }
      if (held.every(({ entries }) => entries.length === 0)) break;
      // A stream may have unread entries that are older than this id.
      const ends = held
        .filter(({ from }) => from !== undefined)
        .flatMap(({ entries }) => entries.at(-1)?.id ?? []);
      const since = ends.toSorted(byId).at(-1);
      const taken = held.flatMap((each) => {
        const from = since === undefined ? -1 : each.entries.findIndex(({ id }) => byId(id, since) < 0);
        return each.entries.splice(0, from === -1 ? each.entries.length : from);
      });
      found.push(...taken.filter(matches).toSorted((a, b) => byId(b.id, a.id)));
    }
    return found.slice(0, count).toReversed();
  }

  /** @returns new entries, oldest first; there may be more. */
  async next(): Promise<readonly LogEntry[]> {
    await this.#look();
    const streams = [...this.#streams.values()];
    const pages = await this.#read(
      readNewer,
      streams.map(({ service, seen }) => [service, `(${seen}`]),
    );
    // A stream may have unread entries that are later than this id and precede later ones of other streams.
    const ends = pages.filter(({ full }) => full).flatMap(({ entries }) => entries.at(-1)?.id ?? []);
    const until = ends.toSorted(byId)[0];
    const taken = pages.map(({ entries }) =>
      until === undefined ? entries : entries.filter(({ id }) => byId(id, until) <= 0),
    );
    for (const [at, entries] of taken.entries()) {
      const stream = streams[at] as Stream;
      stream.seen = entries.at(-1)?.id ?? stream.seen;
    }
    return taken.flat().toSorted((a, b) => byId(a.id, b.id));
  }

  /** Looks for new services. Their entries since the last look count as new. */
  async #look(): Promise<void> {
    const nowMono = performance.now();
    if (nowMono - this.#lookedAtMono < servicesEveryMs) return;
    const names = this.#service === undefined ? await services(this.#store) : [this.#service];
    const unknown = names.filter((service) => !this.#streams.has(service));
    const seen = `${Math.max(this.#lookedAtMs, this.#fromMs)}-0`;
    for (const service of unknown) this.#streams.set(service, { service, seen });
    this.#lookedAtMs = this.#nowMs;
    this.#lookedAtMono = nowMono;
  }

  /** @param from each service with the id to begin at. @returns one page for each service */
  async #read(script: Script, from: readonly (readonly [string, string])[]): Promise<readonly Page[]> {
    const count = Math.min(500, Math.max(10, Math.floor(maxHeld / Math.max(1, from.length))));
    // In a Cluster the keys of several services are in several slots.
    const keysEach = this.#store.sharded === false ? keysAtOnce : 1;
    const calls = chunks(from, keysEach);
    const pages: Page[] = [];
    for (const together of chunks(calls, callsAtOnce)) {
      const outcomes = await this.#store.runAll(
        together.map((some) => ({
          script,
          keys: some.map(([service]) => `logs:${service}`),
          args: [count, ...some.map(([, id]) => id)],
        })),
        limitMs,
      );
      for (const [at, outcome] of outcomes.entries()) {
        if (outcome.status === "rejected") throw outcome.reason;
        const names = (together[at] as (typeof together)[number]).map(([service]) => service);
        pages.push(...parsePages(outcome.value, names, count));
      }
    }
    for (const { nowMs } of pages) this.#nowMs = Math.max(this.#nowMs, nowMs);
    // The services were listed just before the first answer.
    if (this.#lookedAtMs === 0) this.#lookedAtMs = this.#nowMs;
    return pages;
  }
}

function chunks<Item>(items: readonly Item[], size: number): (readonly Item[])[] {
  const parts: (readonly Item[])[] = [];
  for (let at = 0; at < items.length; at += size) parts.push(items.slice(at, at + size));
  return parts;
}

function parsePages(reply: unknown, names: readonly string[], count: number): Page[] {
  const [now, pages] = replyList(reply);
  return names.map((service, at) => {
    const raw = replyList(replyList(pages)[at]);
    const entries = raw.map((entry): LogEntry => {
      const [id, fields] = replyList(entry);
      const flat = replyList(fields).map(String);
      const line = flat[flat.findIndex((name, index) => index % 2 === 0 && name === "line") + 1] ?? "";
      return { service, id: String(id), line };
    });
    return { nowMs: Number(now), entries, full: raw.length >= count };
  });
}

function byId(one: string, other: string): number {
  const [ms = "", number = ""] = one.split("-");
  const [otherMs = "", otherNumber = ""] = other.split("-");
  return Number(ms) - Number(otherMs) || Number(number) - Number(otherNumber);
}
