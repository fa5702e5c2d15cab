// Follows a shadow run for a sidecar: whether it goes on, and where each sidecar writes its counts,
// `shadow:<revision>`. These figures decide nothing.
import { randomUUID } from "node:crypto";
import { z } from "zod";
import { parseJson } from "../language/json.ts";
import { replyList, type Script, type Store } from "../plugin-api/store.ts";
import { type ShadowReport, shadowReport } from "../shadow/report.ts";
import { type CanaryOrder, canaryStateKey } from "./order.ts";
import { keptMs } from "./report-script.ts";
import type { ReporterOptions } from "./reporter.ts";

export const shadowKey = ({ revision }: Pick<CanaryOrder, "revision">): string => `shadow:${revision}`;
/** Pattern of these keys. */
export const shadowKeys = "shadow:*";

/** Most reports: each start of a process has one. */
const maxShadowReports = 5_000;
const limitMs = 2_000;
/**
 * Reads the state of the run. KEYS: state. ARGV: id, whether the policy in force has changed ("1"). Whoever asks first
 * after the run's time ends it.
 * @returns the state; "none" if it is another run's
 */
const follow: Script = {
  name: "shadow-follow",
  lua: `
local key = KEYS[1]
if redis.call('HGET', key, 'id') ~= ARGV[1] then return 'none' end
local state = redis.call('HGET', key, 'state')
if state ~= 'running' then return state end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HSET', key, 'lastAt', string.format('%.0f', now))
local plan = cjson.decode(redis.call('HGET', key, 'plan'))
local isOver = now - tonumber(redis.call('HGET', key, 'startedAt')) >= plan.forMs
if not isOver and ARGV[2] ~= '1' then return state end
local why = isOver and 'its time was over' or 'the policy was changed under it: that one is in force'
redis.call('HSET', key, 'state', 'withdrawn', 'why', why, 'endedAt', string.format('%.0f', now))
redis.call('PEXPIRE', key, ${keptMs})
return 'withdrawn'`,
};
/** Writes a report. KEYS: reports. ARGV: who, report, ms for which the key is kept. */
const tell: Script = {
  name: "shadow-tell",
  lua: `
local key = KEYS[1]
if redis.call('HLEN', key) >= ${maxShadowReports} and redis.call('HEXISTS', key, ARGV[1]) == 0 then return 0 end
redis.call('HSET', key, ARGV[1], ARGV[2])
redis.call('PEXPIRE', key, ARGV[3])
return 1`,
};
/**
 * Limits of names and reports: any sidecar may write anything there, and larger ones than a sidecar sends are left out.
 */
const maxNameBytes = 1_024;
const maxReportBytes = 2 * 1024 * 1024;
const maxBytes = 256 * 1024 * 1024;
const pageBytes = 4 * 1024 * 1024;
const pageSize = 200;
/**
 * KEYS: reports. @returns number of reports that are left out, then name and length of each other one; -1 = the key is
 * no hash
 */
const list: Script = {
  name: "shadow-list",
  lua: `
local names = redis.pcall('HKEYS', KEYS[1])
if names.err then return { -1 } end
local reply = { 0 }
for i, name in ipairs(names) do
  local length = redis.call('HSTRLEN', KEYS[1], name)
  if i <= ${maxShadowReports} and #name <= ${maxNameBytes} and length <= ${maxReportBytes} then
    reply[#reply + 1] = name
    reply[#reply + 1] = length
  else reply[1] = reply[1] + 1 end
end
return reply`,
};
/** KEYS: reports. ARGV: names. @returns the report of each */
const readSome: Script = {
  name: "shadow-read",
  lua: `
local reply = {}
for i, name in ipairs(ARGV) do
  reply[i] = redis.call('HSTRLEN', KEYS[1], name) <= ${maxReportBytes} and redis.call('HGET', KEYS[1], name)
end
return reply`,
};

const told = z.strictObject({
  /** Id of the run. */
  id: z.string(),
  service: z.string().max(200),
  instance: z.string().max(200),
  /** Why the candidate cannot be set up there; "" = it is set up. */
  refused: z.string().max(300),
  report: shadowReport,
});
export type ToldShadow = z.output<typeof told>;

export interface ShadowCounted {
  readonly refused: string | undefined;
  readonly report: ShadowReport | undefined;
}

export class ShadowFollower {
  readonly #options: ReporterOptions;
  readonly #order: CanaryOrder;
  readonly #stateKey: string;
  readonly #boot = randomUUID().slice(0, 8);
  #toldMono = -Infinity;
  #told = "";

  constructor(order: CanaryOrder, options: ReporterOptions) {
    const { store, keyPrefix } = options;
    this.#order = order;
    this.#options = options;
    this.#stateKey = canaryStateKey({ sharded: store.sharded !== false, keyPrefix });
  }

  /**
   * @param moved whether the policy in force has changed. @returns "running", or how the run ended. Rejects with
   * StoreUnavailable.
   */
  async state(moved: boolean): Promise<string> {
    const { store } = this.#options;
    const args = [this.#order.id, moved ? "1" : ""];
    return String(await store.run(follow, [this.#stateKey], args, limitMs));
  }

  /** @param isLast the run is over here: all counts are written. Rejects with StoreUnavailable. */
  async tell({ refused = "", report }: ShadowCounted, isLast: boolean): Promise<void> {
    if (report === undefined || (!isLast && performance.now() - this.#toldMono < this.#order.everyMs)) return;
    const { store, service, instance } = this.#options;
    const { id, forMs } = this.#order;
    const text = JSON.stringify({ id, service, instance, refused, report } satisfies ToldShadow);
    this.#toldMono = performance.now();
    if (text === this.#told) return;
    const args = [`${service}/${instance}/${this.#boot}`, text, forMs + keptMs];
    await store.run(tell, [shadowKey(this.#order)], args, limitMs);
    this.#told = text;
  }
}

/**
 * Reads the fleet's reports of a run. Rejects with StoreUnavailable
 * @returns number of reports that are unreadable or too many; undefined = the key holds another type
 */
export async function readShadow(
  store: Store,
  order: CanaryOrder,
  onTold: (told: ToldShadow) => void,
): Promise<number | undefined> {
  const key = shadowKey(order);
  const reply = await store.run(list, [key], [], limitMs);
  const [left, ...listed] = Array.isArray(reply) ? (reply as unknown[]) : [-1];
  if (left === -1) return undefined;
  const { pages, further } = pagesOf(listed);
  let unread = Number(left) + further;
  for (const names of pages) {
    const texts = await store.run(readSome, [key], names, limitMs);
    for (const text of replyList(texts)) {
      const told = typeof text === "string" ? parseTold(text) : undefined;
      if (told === undefined) unread += 1;
      else if (told.id === order.id) onTold(told);
    }
  }
  return unread;
}

/** @param listed name, length, … */
function pagesOf(listed: readonly unknown[]): {
  readonly pages: readonly string[][];
  readonly further: number;
} {
  const pages: string[][] = [];
  let [page, all, further] = [pageBytes, 0, 0];
  for (let at = 0; at + 1 < listed.length; at += 2) {
    const length = Number(listed[at + 1]);
    all += length;
    if (all > maxBytes) {
      further += 1;
      continue;
    }
    page += length;
    if (page > pageBytes || (pages.at(-1)?.length ?? 0) >= pageSize) {
      pages.push([]);
      page = length;
    }
    pages.at(-1)?.push(String(listed[at]));
  }
  return { pages, further };
}

function parseTold(text: string): ToldShadow | undefined {
  try {
    return told.safeParse(parseJson(text)).data;
  } catch {
    return undefined;
  }
}
