// Reads the fleet from its heartbeats: which sidecars exist, what each has in force, which are lost. It uses the
// indexes and never scans the keys. A sidecar writes its own heartbeat, so nothing in it is trusted.
import { pairsOf } from "../plugin-api/pairs.ts";
import { z } from "zod";
import { heartbeatExpiryMs, heartbeatKey, lostMs, membersKey, servicesKey } from "../fleet/heartbeat.ts";
import { replyList, type Script, type Store, StoreUnavailable } from "../plugin-api/store.ts";

const text = z.string().max(1_000);
const told = z
  .object({ count: z.number(), first: text, problems: z.array(text).max(200).catch([]) })
  .nullable()
  .catch(null);
const epochMs = z.number().min(0).max(8.64e15).nullable().catch(null);
const schema = z.object({
  region: text.nullable().catch(null),
  version: text.catch("?"),
  /** Version of the plugin contract; null = it reports none, and has no extensions. */
  contract: text.nullable().catch(null),
  plugins: z.record(z.string(), text).catch({}),
  troubles: z.record(z.string(), text).catch({}),
  upSeconds: z.number().nullable().catch(null),
  digest: text.nullable().catch(null),
  documents: z.object({ shared: text, layer: text.nullable() }).nullable().catch(null),
  source: text.nullable().catch(null),
  lastError: told,
  overruled: told,
  disabled: z.array(text).max(32).catch([]),
  /** The canary that it takes part in, and its counts. */
  canary: z
    .looseObject({ id: text, revision: z.number(), percent: z.number(), state: text })
    .nullable()
    .catch(null),
  /** Whether the service can be reached past the sidecar; null = an older sidecar that does not check. */
  bypass: z.object({ state: text, detail: text }).nullable().catch(null),
  /** Boot id of another live sidecar with the same name; "" = of an older version, null = none is known. */
  namesake: text.nullable().catch(null),
  /** Boot id of the process that wrote this; null = an older version. */
  boot: text.nullable().catch(null),
  inForceAt: epochMs,
  refusedAt: epochMs,
});

export type Receipt = z.infer<typeof schema>;

export interface Member {
  readonly service: string;
  readonly instance: string;
  /** `lost`: it went silent within the last hour without saying goodbye. */
  readonly state: "live" | "lost";
  /** Time of its last heartbeat; epoch ms by Redis' clock. */
  readonly seenAtMs: number;
  /** null = its heartbeat has expired or cannot be read. */
  readonly receipt: Receipt | null;
}

export interface Fleet {
  /** Epoch ms by Redis' clock. */
  readonly nowMs: number;
  /** Sorted by service and instance. */
  readonly members: readonly Member[];
  /** Keys, without prefix, that hold another type than sidecars write: the sidecars in them are unknown. */
  readonly unreadable: readonly string[];
}

/** Many more than anybody runs; a compromised sidecar can name services that do not exist. */
const maxServices = 10_000;
const maxMembers = 200_000;
const page = 200;
/** Several times the size that a sidecar writes. */
const maxHeartbeatBytes = 256 * 1024;
const limitMs = 5_000;

const readServices: Script = {
  name: "fleet-services",
  lua: `
local t = redis.call('TIME')
redis.pcall('ZREMRANGEBYSCORE', KEYS[1], '-inf', t[1] * 1000 - ARGV[2])
return redis.call('ZREVRANGE', KEYS[1], 0, ARGV[1] - 1)`,
};
const readMembers: Script = {
  name: "fleet-members",
  lua: `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local from = '(' .. string.format('%.0f', now - ARGV[1])
return { string.format('%.0f', now),
  redis.call('ZRANGEBYSCORE', KEYS[1], from, '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2]) }`,
};
/** Reads several keys. Skips values of another type or a greater length than sidecars write. */
const readMany: Script = {
  name: "fleet-read",
  lua: `
local found = {}
for i, key in ipairs(KEYS) do
  local length = redis.pcall('STRLEN', key)
  found[i] = type(length) == 'number' and length <= ${maxHeartbeatBytes} and redis.call('GET', key)
end
return found`,
};

/** @param service undefined = the whole fleet */
export async function readFleet(store: Store, service: string | undefined): Promise<Fleet> {
  let nowMs = 0;
  const found: Omit<Member, "receipt" | "state">[] = [];
  const unreadable: string[] = [];
  const names = service === undefined ? await orNothing(services(store)) : [service];
  if (names === undefined) unreadable.push(servicesKey);
  for (const name of names ?? []) {
    // Any sidecar of this service can spoil this key: the others must stay visible.
    const reply = await orNothing(store.run(readMembers, [membersKey(name)], [lostMs, maxMembers], limitMs));
    if (reply === undefined) unreadable.push(membersKey(name));
    const [now, list] = replyList(reply);
    nowMs = Number(now ?? nowMs);
    const flat = replyList(list);
    for (const [instance, seenAt] of pairsOf(flat)) {
      found.push({ service: name, instance: String(instance), seenAtMs: Number(seenAt) });
    }
    if (found.length >= maxMembers) break;
  }
  found.sort((a, b) => order(a.service, b.service) || order(a.instance, b.instance));
  const read = await withReceipts(store, found);
  // In a large service heartbeats are further apart, and their keys live longer.
  const isLive = ({ receipt, seenAtMs }: (typeof read)[number]): boolean =>
    receipt !== null || nowMs - seenAtMs < heartbeatExpiryMs;
  return {
    nowMs,
    unreadable,
    members: read.map((each) => ({ ...each, state: isLive(each) ? "live" : "lost" })),
  };
}

/** @returns undefined if the key holds another type. Rejects with StoreUnavailable for all other reasons */
async function orNothing<Result>(reading: Promise<Result>): Promise<Result | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof StoreUnavailable && error.code === "WRONGTYPE") return undefined;
    throw error;
  }
}

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** @returns the members with their current heartbeats */
export async function withReceipts<Of extends Omit<Member, "receipt" | "state">>(
  store: Store,
  members: readonly Of[],
): Promise<(Of & { receipt: Receipt | null })[]> {
  const read: (Of & { receipt: Receipt | null })[] = [];
  for (let at = 0; at < members.length; at += page) {
    const some = members.slice(at, at + page);
    const values = await readKeys(
      store,
      some.map((member) => heartbeatKey(member.service, member.instance)),
    );
    read.push(...some.map((member, index) => ({ ...member, receipt: parseReceipt(values[index]) })));
  }
  return read;
}

/** @returns services that had a sidecar within the last two hours, the latest first */
export async function services(store: Store): Promise<string[]> {
  const reply = await store.run(readServices, [servicesKey], [maxServices, 2 * lostMs], limitMs);
  return replyList(reply).map(String);
}

async function readKeys(store: Store, keys: readonly string[]): Promise<readonly unknown[]> {
  // In a Cluster the keys of several sidecars are in several slots.
  if (store.sharded !== false) return Promise.all(keys.map((key) => readOne(store, key)));
  const reply = await store.run(readMany, keys, [], limitMs);
  return replyList(reply);
}

async function readOne(store: Store, key: string): Promise<string | undefined> {
  const bytes = await orNothing(store.getBytes(key, limitMs, maxHeartbeatBytes));
  return bytes && bytes.length <= maxHeartbeatBytes ? bytes.toString() : undefined;
}

function parseReceipt(value: unknown): Receipt | null {
  try {
    return typeof value === "string" ? (schema.safeParse(JSON.parse(value)).data ?? null) : null;
  } catch {
    return null;
  }
}
