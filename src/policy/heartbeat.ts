// What this sidecar tells the fleet: `fleet:<service>:<instance>`, written every few seconds and expiring when it is
// dead. On the way it learns how many siblings are alive.
import type { Script, Store } from "../redis/store-contract.ts";
import type { PolicyStatus } from "./life.ts";
import type { Problem } from "./problems.ts";
import { Rereader } from "./source.ts";

/** Problems in short. */
interface Told {
  readonly count: number;
  readonly first: string;
}

/** The value of a heartbeat key; times in ISO 8601. */
export interface Heartbeat {
  readonly service: string;
  readonly instance: string;
  readonly version: string;
  readonly revision: number;
  readonly digest: string | null;
  readonly documents: PolicyStatus["documents"];
  readonly source: PolicyStatus["source"];
  readonly since: string | null;
  readonly lastError: ({ readonly at: string } & Told) | null;
  /** What of the service's layer does not fit the shared policy and is not in force. */
  readonly overruled: Told | null;
  readonly at: string;
}

export interface HeartbeatOptions {
  readonly store: Store;
  readonly service: string;
  readonly instance: string;
  readonly version: string;
  readonly status: () => PolicyStatus;
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
  notice(): void;
  /** Stops and takes this sidecar out of the fleet. */
  stop(): Promise<void>;
}

/**
 * Members of a service by time of their last beat (Redis' clock), so that counting them does not walk every key of
 * the database, which SCAN would do, every five seconds, for every sidecar.
 */
const count: Script = {
  name: "fleet-count",
  lua: `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])`,
};
const leave: Script = { name: "fleet-leave", lua: "return redis.call('ZREM', KEYS[1], ARGV[1])" };

export function startHeartbeat(options: HeartbeatOptions): HeartbeatSender {
  const { store, service, instance, everyMs = 5000, expiryMs = 15_000 } = options;
  const key = `fleet:${service}:${instance}`;
  const members = `live:${service}`;
  let size = 1;

  async function beat(): Promise<boolean> {
    try {
      await store.set(key, JSON.stringify(heartbeat(options)), { ttlMs: expiryMs });
      const live = Math.max(1, Number(await store.run(count, [members], [instance, expiryMs])));
      if (live !== size) options.onSize?.(live);
      size = live;
      return true;
    } catch {
      // Redis is out of reach: the store counts and logs that, and the next beat tries again.
      return false;
    }
  }

  const sender = new Rereader({ read: beat, settleMs: 20, pollMs: everyMs, retryMs: everyMs });
  sender.readNow();
  return {
    size: () => size,
    notice: () => sender.notice(),
    async stop() {
      await sender.stop();
      await Promise.allSettled([store.delete(key), store.run(leave, [members], [instance])]);
    },
  };
}

function heartbeat({ service, instance, version, status, clock }: HeartbeatOptions): Heartbeat {
  const { revision, digest, documents, source, since, lastError, overruled } = status();
  const failed = told(lastError?.problems ?? []);
  return {
    service,
    instance,
    version,
    revision,
    digest,
    documents,
    source,
    since,
    lastError: lastError === null || failed === null ? null : { at: lastError.at, ...failed },
    overruled: told(overruled),
    at: new Date(clock.now()).toISOString(),
  };
}

function told(problems: readonly Problem[]): Told | null {
  const [first] = problems;
  if (first === undefined) return null;
  return { count: problems.length, first: `${first.path} ${first.message}`.trim().slice(0, 500) };
}
