// What this sidecar tells the fleet: `fleet:<service>:<instance>`, written every few seconds and expiring when it is
// dead. On the way it learns how many siblings are alive.
import type { PolicyStatus } from "../policy/status.ts";
import { type Problem, problemText } from "../policy/document/problems.ts";
import { Poller } from "../policy/sources/poller.ts";
import type { Script, Store } from "../plugin-api/store.ts";

/** Problems: how many, the first in short, and all of them as far as there is room. */
interface Told {
  readonly count: number;
  readonly first: string;
  readonly problems: readonly string[];
}

/** The value of a heartbeat key; times in ISO 8601 by the sidecar's clock, numbers epoch ms by that of Redis. */
export interface Heartbeat {
  readonly service: string;
  readonly instance: string;
  readonly region: string | null;
  readonly version: string;
  /** Of every plugin, by name. */
  readonly plugins: Readonly<Record<string, string>>;
  readonly upSeconds: number;
  readonly revision: number;
  readonly digest: string | null;
  readonly documents: PolicyStatus["documents"];
  readonly source: PolicyStatus["source"];
  readonly since: string | null;
  readonly lastError: ({ readonly at: string } & Told) | null;
  /** What of the service's layer does not fit the shared policy and is not in force. */
  readonly overruled: Told | null;
  /** Kill switches in force: plugin, service and route of each. */
  readonly disabled: readonly string[];
  readonly at: string;
  readonly inForceAt: number | null;
  readonly refusedAt: number | null;
  readonly seenAt: number;
}

export interface HeartbeatOptions {
  readonly store: Store;
  readonly service: string;
  readonly instance: string;
  readonly region?: string | undefined;
  readonly version: string;
  readonly plugins: readonly { readonly name: string; readonly version: string }[];
  readonly status: () => PolicyStatus;
  readonly disabled?: () => readonly string[];
  readonly clock: { now(): number };
  /** Told when another number of sidecars lives. */
  readonly onSize?: (size: number) => void;
  readonly everyMs?: number;
  readonly expiryMs?: number;
}

export interface HeartbeatSender {
  /** Live sidecars of the service, this one included; the last number known while Redis is out of reach. */
  size(): number;
  /** Sends soon: the policy changed, or one was refused. */
  trigger(): void;
  /** Stops and takes this sidecar out of the fleet. */
  stop(): Promise<void>;
}

/** Services by when one of their sidecars was last heard of: what lists the fleet walks no key space. */
export const servicesKey = "fleet:seen";
/** Members of a service by time of their last beat (Redis' clock); those that fell silent stay for a while. */
export const membersKey = (service: string): string => `live:${service}`;
export const heartbeatKey = (service: string, instance: string): string => `fleet:${service}:${instance}`;
export const heartbeatExpiryMs = 15_000;
/** How long one that fell silent stays listed. */
export const lostMs = 3_600_000;

/** Redis' clock: `apply --wait` compares these times with when the policy was written. */
const now = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)";

/** ARGV: the value but for its last brace, ms since the policy is in force, ms since one was refused, expiry. */
const tell: Script = {
  name: "fleet-tell",
  lua: `${now}
local function ago(ms) return ms == '' and 'null' or string.format('%.0f', now - tonumber(ms)) end
redis.call('SET', KEYS[1], ARGV[1] .. ',"inForceAt":' .. ago(ARGV[2]) .. ',"refusedAt":' .. ago(ARGV[3]) ..
  ',"seenAt":' .. ago('0') .. '}', 'PX', ARGV[4])
return 1`,
};
/** ARGV: instance, expiry, how long the silent are kept. @returns how many are alive */
const count: Script = {
  name: "fleet-count",
  lua: `${now}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return redis.call('ZCOUNT', KEYS[1], '(' .. string.format('%.0f', now - ARGV[2]), '+inf')`,
};
const index: Script = {
  name: "fleet-index",
  lua: `${now}
return redis.call('ZADD', KEYS[1], now, ARGV[1])`,
};
const leave: Script = { name: "fleet-leave", lua: "return redis.call('ZREM', KEYS[1], ARGV[1])" };

export function startHeartbeat(options: HeartbeatOptions): HeartbeatSender {
  const { store, service, instance, clock, everyMs = 5000, expiryMs = heartbeatExpiryMs } = options;
  const key = heartbeatKey(service, instance);
  const members = membersKey(service);
  let size = 1;

  async function beat(): Promise<boolean> {
    const value = heartbeat(options);
    const nowMs = clock.now();
    const args = [
      JSON.stringify(value).slice(0, -1),
      ageOf(value.since, nowMs),
      ageOf(value.lastError?.at, nowMs),
      expiryMs,
    ];
    // Each on its own key, so that it goes in a Cluster, too. Whoever has older rights cannot write the index.
    const [told, counted] = await store.runAll([
      { script: tell, keys: [key], args },
      { script: count, keys: [members], args: [instance, expiryMs, lostMs] },
      { script: index, keys: [servicesKey], args: [service] },
    ]);
    // Redis is out of reach: the store counts and logs that, and the next beat tries again.
    if (told?.status !== "fulfilled" || counted?.status !== "fulfilled") return false;
    const live = Math.max(1, Number(counted.value));
    if (live !== size) options.onSize?.(live);
    size = live;
    return true;
  }

  const sender = new Poller({ read: beat, settleMs: 20, pollMs: everyMs, retryMs: everyMs });
  sender.readNow();
  return {
    size: () => size,
    trigger: () => sender.trigger(),
    async stop() {
      await sender.stop();
      await Promise.allSettled([store.delete(key), store.run(leave, [members], [instance])]);
    },
  };
}

/** In ms; "" = there is no such time. */
function ageOf(time: string | null | undefined, nowMs: number): number | "" {
  return time === null || time === undefined ? "" : Math.max(0, nowMs - Date.parse(time));
}

function heartbeat(options: HeartbeatOptions): Omit<Heartbeat, "inForceAt" | "refusedAt" | "seenAt"> {
  const { service, instance, region = null, version, plugins, status, clock } = options;
  const { revision, digest, documents, source, since, lastError, overruled } = status();
  const failed = told(lastError?.problems ?? []);
  return {
    service,
    instance,
    region,
    version,
    plugins: Object.fromEntries(plugins.map((plugin) => [plugin.name, plugin.version])),
    upSeconds: Math.floor(process.uptime()),
    revision,
    digest,
    documents,
    source,
    since,
    lastError: lastError === null || failed === null ? null : { at: lastError.at, ...failed },
    overruled: told(overruled),
    disabled: (options.disabled?.() ?? []).slice(0, maxDisabled),
    at: new Date(clock.now()).toISOString(),
  };
}

const maxTextLength = 500;
const maxDisabled = 32;
/** Of all problems together: heartbeats are written every few seconds. */
const maxTotalLength = 16_384;

function told(problems: readonly Problem[]): Told | null {
  const [first] = problems;
  if (first === undefined) return null;
  const texts: string[] = [];
  let length = 0;
  for (const problem of problems) {
    const text = problemText(problem).slice(0, maxTextLength);
    length += text.length;
    if (length > maxTotalLength) break;
    texts.push(text);
  }
  return {
    count: problems.length,
    first: `${first.path} ${first.message}`.trim().slice(0, maxTextLength),
    problems: texts,
  };
}
