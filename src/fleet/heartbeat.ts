// What this sidecar tells the fleet: `fleet:<service>:<instance>`, written every few seconds and expiring when it is
// dead. On the way it learns how many siblings are alive.
import { contractVersion } from "../extensions/manifest.ts";
import type { PolicyStatus } from "../policy/status.ts";
import { type Problem, problemText } from "../policy/document/problems.ts";
import { Poller } from "../policy/sources/poller.ts";
import { replyList, type Script, type Store } from "../plugin-api/store.ts";

/** Problems: how many, the first in short, and all of them as far as there is room. */
interface Told {
  readonly count: number;
  readonly first: string;
  readonly problems: readonly string[];
}

interface ToldBypass {
  readonly state: string;
  readonly detail: string;
}

/** The value of a heartbeat key; times in ISO 8601 by the sidecar's clock, numbers epoch ms by that of Redis. */
export interface Heartbeat {
  readonly service: string;
  readonly instance: string;
  readonly region: string | null;
  readonly version: string;
  /** Version of the plugin contract that it has. */
  readonly contract: string;
  /** Of every plugin that is built in or that the policy in force brings, by name. */
  readonly plugins: Readonly<Record<string, string>>;
  /** What is wrong with plugins, by name. */
  readonly troubles: Readonly<Record<string, string>>;
  readonly upSeconds: number;
  readonly revision: number;
  readonly revisionFrom: PolicyStatus["revisionFrom"];
  readonly layerRevision: number | null;
  readonly digest: string | null;
  readonly documents: PolicyStatus["documents"];
  readonly source: PolicyStatus["source"];
  readonly since: string | null;
  readonly lastError: ({ readonly at: string } & Told) | null;
  /** What of the service's layer does not fit the shared policy and is not in force. */
  readonly overruled: Told | null;
  /** Kill switches in force: plugin, service and route of each. */
  readonly disabled: readonly string[];
  /** What of a canary it has in force, and what it has counted meanwhile; null = there is none for it. */
  readonly canary: object | null;
  /** Whether the service can be reached past the sidecar; null = it was not looked at. */
  readonly bypass: ToldBypass | null;
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
  readonly plugins: () => readonly { readonly name: string; readonly version: string }[];
  readonly troubles?: () => Iterable<readonly [name: string, trouble: string]>;
  readonly status: () => PolicyStatus;
  readonly disabled?: () => readonly string[];
  readonly canary?: () => object | null;
  readonly bypass?: () => ToldBypass | null;
  readonly clock: { now(): number };
  /** Told when another number of sidecars lives. */
  readonly onSize?: (size: number) => void;
  readonly everyMs?: number;
  readonly expiryMs?: number;
  /** Sidecars of all services up to which it is written that often; more write as many times more rarely. */
  readonly fullRateUpTo?: number;
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
/** All sidecars, of whatever service, by when they last said so: how many there are decides how often they beat. */
export const enrolledKey = "fleet:all";
/** Members of a service by time of their last beat (Redis' clock); those that fell silent stay for a while. */
export const membersKey = (service: string): string => `live:${service}`;
export const heartbeatKey = (service: string, instance: string): string => `fleet:${service}:${instance}`;
/** In a large fleet it is longer: whoever's key is there is alive. */
export const heartbeatExpiryMs = 15_000;
const smallFleet = 500;
/** So many times more rarely than in a small fleet, at most. */
const maxStretch = 12;
/** A service is listed for two hours after it was last heard of, a sidecar counted for as long as four beats may take. */
const enrollMs = { small: 20_000, most: 60_000 };
const enrolledMs = 240_000;
/** How long one that fell silent stays listed. */
export const lostMs = 3_600_000;

/** Redis' clock: `apply --wait` compares these times with when the policy was written. */
const now = "local t = redis.call('TIME') local now = t[1] * 1000 + math.floor(t[2] / 1000)";

/**
 * ARGV of all three: the value but for its last brace, ms since the policy is in force, ms since one was refused, expiry,
 * instance, how long the silent are kept.
 */
const tellLua = `
local function ago(ms) return ms == '' and 'null' or string.format('%.0f', now - tonumber(ms)) end
redis.call('SET', KEYS[1], ARGV[1] .. ',"inForceAt":' .. ago(ARGV[2]) .. ',"refusedAt":' .. ago(ARGV[3]) ..
  ',"seenAt":' .. ago('0') .. '}', 'PX', ARGV[4])`;
/** Answers how many of the service are alive, and 1 when this one was not among those known. */
const countLua = `
local members = KEYS[#KEYS]
redis.call('ZREMRANGEBYSCORE', members, '-inf', now - ARGV[6])
local isNew = redis.call('ZADD', members, now, ARGV[5])
redis.call('PEXPIRE', members, ARGV[6])
return { redis.call('ZCOUNT', members, '(' .. string.format('%.0f', now - ARGV[4]), '+inf'), isNew }`;

const beatOnce: Script = { name: "fleet-beat", lua: `${now}${tellLua}${countLua}` };
/** In a Cluster each of the two has its own slot. */
const tell: Script = { name: "fleet-tell", lua: `${now}${tellLua}\nreturn 1` };
const count: Script = { name: "fleet-count", lua: `${now}${countLua}` };
const index: Script = {
  name: "fleet-index",
  lua: `${now}
return redis.call('ZADD', KEYS[1], now, ARGV[1])`,
};
/** ARGV: `service/instance`, how long it counts. @returns how many there are of all services */
const enroll: Script = {
  name: "fleet-enroll",
  lua: `${now}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('ZADD', KEYS[1], now, ARGV[1])
return redis.call('ZCOUNT', KEYS[1], '-inf', '+inf')`,
};
const leave: Script = { name: "fleet-leave", lua: "return redis.call('ZREM', KEYS[1], ARGV[1])" };

export function startHeartbeat(options: HeartbeatOptions): HeartbeatSender {
  const { store, service, instance, everyMs = 5000, fullRateUpTo = smallFleet, onSize } = options;
  let size = 1;
  let fleet = 1;
  let enrolledMono = -Infinity;
  const stretch = (): number => Math.min(Math.max(1, Math.max(size, fleet) / fullRateUpTo), maxStretch);

  async function beat(): Promise<boolean> {
    const stretched = stretch();
    const enrolls = performance.now() - enrolledMono > Math.min(enrollMs.small * stretched, enrollMs.most);
    const { told, live, isNew, enrolled } = await send(options, stretched, enrolls);
    // Redis is out of reach: the store counts and logs that, and the next beat tries again.
    if (!told) return false;
    fleet = enrolled ?? fleet;
    // New to a Redis that has had its beats: what was there is gone, and the indexes with it.
    if (enrolls || isNew) enrolledMono = enrolls ? performance.now() : -Infinity;
    // In a larger fleet what was written might be over before the next beat, and siblings count as silent too soon.
    if (isNew || stretch() > 1.5 * stretched) sender.trigger();
    if (stretch() > 1.5 * stretched) return true;
    if (live !== size) onSize?.(live);
    size = live;
    return true;
  }

  const sender = new Poller({
    read: beat,
    settleMs: 20,
    get pollMs() {
      return everyMs * stretch();
    },
    retryMs: everyMs,
  });
  sender.readNow();
  return {
    size: () => size,
    trigger: () => sender.trigger(),
    async stop() {
      await sender.stop();
      const key = heartbeatKey(service, instance);
      await Promise.allSettled([store.delete(key), store.run(leave, [membersKey(service)], [instance])]);
    },
  };
}

interface Sent {
  readonly told: boolean;
  /** Sidecars of the service. */
  readonly live: number;
  readonly isNew: boolean;
  /** Sidecars of all services; undefined = not asked, or older rights, which do not let it count them. */
  readonly enrolled: number | undefined;
}

async function send(options: HeartbeatOptions, stretch: number, enrolls: boolean): Promise<Sent> {
  const { store, service, instance, expiryMs = heartbeatExpiryMs } = options;
  const [key, members] = [heartbeatKey(service, instance), membersKey(service)];
  const args = [...argsOf(options, Math.ceil(expiryMs * stretch)), instance, lostMs];
  const beats =
    store.sharded === false
      ? [{ script: beatOnce, keys: [key, members], args }]
      : [
          { script: count, keys: [members], args: ["", ...args.slice(1)] },
          { script: tell, keys: [key], args },
        ];
  // Each on its own: whoever has older rights cannot write them.
  const indexes = [
    { script: enroll, keys: [enrolledKey], args: [`${service}/${instance}`, enrolledMs] },
    { script: index, keys: [servicesKey], args: [service] },
  ];
  const outcomes = await store.runAll(enrolls ? [...beats, ...indexes] : beats);
  const [counted, enrolled] = [outcomes[0], outcomes[beats.length]];
  const reply = counted?.status === "fulfilled" ? counted.value : undefined;
  const [live, isNew] = replyList(reply);
  return {
    told: outcomes.slice(0, beats.length).every(({ status }) => status === "fulfilled"),
    live: Math.max(1, Number(live) || 1),
    isNew: isNew === 1 && !enrolls,
    enrolled: enrolled?.status === "fulfilled" ? Number(enrolled.value) || 1 : undefined,
  };
}

function argsOf(options: HeartbeatOptions, expiresMs: number): (string | number)[] {
  const value = heartbeat(options);
  const nowMs = options.clock.now();
  return [
    JSON.stringify(value).slice(0, -1),
    ageOf(value.since, nowMs),
    ageOf(value.lastError?.at, nowMs),
    expiresMs,
  ];
}

/** In ms; "" = there is no such time. */
function ageOf(time: string | null | undefined, nowMs: number): number | "" {
  return time === null || time === undefined ? "" : Math.max(0, nowMs - Date.parse(time));
}

function heartbeat(options: HeartbeatOptions): Omit<Heartbeat, "inForceAt" | "refusedAt" | "seenAt"> {
  const { service, instance, region = null, version, plugins, status, clock } = options;
  const { revision, revisionFrom, layerRevision, digest, documents, source, since, ...rest } = status();
  const { lastError, overruled } = rest;
  const failed = told(lastError?.problems ?? []);
  return {
    service,
    instance,
    region,
    version,
    contract: contractVersion,
    plugins: Object.fromEntries(plugins().map((plugin) => [plugin.name, plugin.version])),
    troubles: Object.fromEntries(
      [...(options.troubles?.() ?? [])]
        .slice(0, maxTroubles)
        .map(([name, trouble]) => [name, trouble.slice(0, maxTroubleLength)]),
    ),
    upSeconds: Math.floor(process.uptime()),
    revision,
    revisionFrom,
    layerRevision,
    digest,
    documents,
    source,
    since,
    lastError: lastError === null || failed === null ? null : { at: lastError.at, ...failed },
    overruled: told(overruled),
    disabled: (options.disabled?.() ?? []).slice(0, maxDisabled),
    canary: options.canary?.() ?? null,
    bypass: options.bypass?.() ?? null,
    at: new Date(clock.now()).toISOString(),
  };
}

const maxTextLength = 500;
const maxDisabled = 32;
const maxTroubles = 32;
const maxTroubleLength = 200;
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
