// Implements the store of src/plugin-api/store.ts on a standalone server, a Sentinel group or a Cluster.
import { Cluster } from "ioredis";
import type { RedisAddress } from "./address.ts";
import { readHash } from "./bounded-hash.ts";
import { createCircuitBreaker } from "./circuit-breaker.ts";
import { type CommandSender, createCommandSender, type OnCommand } from "./command-sender.ts";
import { openCluster, openServer } from "./connect.ts";
import { RefusedWrites } from "./refused-writes.ts";
import { createScripts } from "./scripts.ts";
import { ConnectionState, type ConnectionStateChange } from "./connection-state.ts";
import { type Store, StoreUnavailable } from "../plugin-api/store.ts";
import { ChangeSubscriptions } from "./change-subscriptions.ts";
import { deaf, delayed, type SimulatedFault, simulatedOutage, transmit } from "./simulated-fault.ts";

export interface StoreOptions {
  readonly address: RedisAddress;
  /** The prefix of every key. */
  readonly keyPrefix: string;
  /** The name of the store's connections in CLIENT LIST; no white space. */
  readonly connectionName: string;
  /** Keys that will be heard for certain (`hear`). */
  readonly channels?: readonly string[] | undefined;
  /** The time limit of a call that names none, in milliseconds. */
  readonly limitMs?: number;
  readonly onState?: (state: ConnectionStateChange) => void;
  readonly onCommand?: OnCommand;
  /** Called when a listener of `watch` threw. */
  readonly onListenerError?: (error: unknown) => void;
  readonly onClosed?: () => void;
  /** A fault to simulate; absent = none. */
  readonly fault?: SimulatedFault | undefined;
}

export interface RedisStore extends Store {
  readonly sharded: boolean;
  /** Why changes of keys are not reported now, so that a poll must find them; undefined if they are. */
  readonly unheardBecause: string | undefined;
  /** The code by which Redis refuses writes now (`OOM`, `READONLY`); undefined if it accepts them. */
  readonly writesRefused: string | undefined;
  /** @returns true as soon as Redis answers; false if it did not within `limitMs` or the store was closed. */
  whenUp(limitMs: number): Promise<boolean>;
  /** @returns up to `length` bytes of the value from offset `from`; empty at its end, and if there is no such value */
  getPart(key: string, from: number, length: number, limitMs: number): Promise<Buffer>;
  /** Ends every connection and timer; later calls reject. */
  close(): void;
}

/** Long enough for any healthy server, short enough for a request that waits. */
const defaultLimitMs = 250;
/** A scan reads page after page; a huge key space must not make it run without end. */
const scanLimitMs = 5_000;

const breakerLimits = { failures: 5, overMs: 100, silenceMs: 500, probeMs: 500 };

/** Connects at once in the background; never throws if Redis is away. */
export function createStore(options: StoreOptions): RedisStore {
  const { address, keyPrefix, connectionName, limitMs = defaultLimitMs, fault } = options;
  const state = new ConnectionState(options.onState);
  const onLink = (up: boolean, reason: string): void => {
    if (up) breaker.reset();
    state.set("commands", up && fault?.down !== true, reason);
  };
  const open = address.kind === "cluster" ? openCluster : openServer;
  const link = open(address, connectionName, onLink);
  const { client } = link;
  const breaker = createCircuitBreaker({
    ...breakerLimits,
    probe: () => client.get(`${keyPrefix}probe`), // a Cluster that is down still answers PING
    onChange: (reason) => state.set("commands", isUp(), isUp() ? "" : reason),
  });
  const isUp = (): boolean => link.up && !breaker.open && fault?.down !== true;
  const changes = new ChangeSubscriptions({
    address,
    client,
    connectionName,
    keyPrefix,
    channels: options.channels,
    onState: (up, reason) => state.set("watches", up, reason),
    onListenerError: (error) => options.onListenerError?.(error),
  });
  const writes = new RefusedWrites((refusing, code) => state.set("writes", !refusing, code));
  const sharded = client instanceof Cluster;
  const sender = createCommandSender(
    client,
    isUp,
    breaker,
    options.onCommand,
    writes,
    fault ? delayed(fault) : transmit,
  );
  const methods = createMethods(sender, keyPrefix, limitMs, sharded);
  const forget = fault?.onChange(() => state.set("commands", isUp(), isUp() ? "" : simulatedOutage));
  const close = (): void => {
    forget?.();
    for (const part of [changes, writes, breaker, link, state]) part.close();
    options.onClosed?.();
  };
  return exposed(methods, { isUp, changes, writes, state, sharded, close, fault });
}

interface StoreParts extends Pick<RedisStore, "sharded" | "close"> {
  readonly fault: SimulatedFault | undefined;
  readonly isUp: () => boolean;
  readonly changes: ChangeSubscriptions;
  readonly writes: RefusedWrites;
  readonly state: ConnectionState;
}

function exposed(methods: Methods, parts: StoreParts): RedisStore {
  const { isUp, changes, writes, state, sharded, close, fault } = parts;
  const watch: Store["watch"] = (prefix, onChange) => changes.watch(prefix, onChange);
  const hear: Store["hear"] = (key, onTold) => changes.hear(key, onTold);
  return {
    ...methods,
    sharded,
    close,
    get up() {
      return isUp();
    },
    get watching() {
      return changes.subscribed && fault?.down !== true;
    },
    get writesRefused() {
      return writes.code;
    },
    get unheardBecause() {
      return fault?.down === true ? simulatedOutage : state.unheardBecause;
    },
    watch: fault === undefined ? watch : deaf(watch, fault),
    hear: fault === undefined ? hear : deaf(hear, fault),
    whenUp: (limitMs) => state.whenUp(limitMs),
  };
}

type Methods = Omit<Store, "up" | "watching" | "sharded" | "watch" | "hear"> & Pick<RedisStore, "getPart">;

function createMethods(
  sender: CommandSender,
  keyPrefix: string,
  defaultLimitMs: number,
  sharded: boolean,
): Methods {
  const runScript = createScripts(sender);
  const full = (key: string): string => keyPrefix + key;
  const run: Methods["run"] = (script, keys, args, limitMs = defaultLimitMs) =>
    runScript(script, keys.map(full), args, limitMs);
  return {
    run,
    runAll: (all, limitMs = defaultLimitMs) =>
      Promise.allSettled(
        sender.batch(() => all.map(({ script, keys, args }) => run(script, keys, args, limitMs))),
      ),
    async get(key, limitMs = defaultLimitMs) {
      const reply = await sender.send("get", [full(key)], "utf8", limitMs);
      if (reply === null || typeof reply === "string") return reply;
      throw new StoreUnavailable("get: an answer of another type");
    },
    getBytes: (key, limitMs = defaultLimitMs, maxBytes) => getBytes(sender, full(key), limitMs, maxBytes),
    getPart: (key, from, length, limitMs) => getPart(sender, full(key), from, length, limitMs),
    readHash: (key, bounds, limitMs = defaultLimitMs) => readHash(sender, full(key), bounds, limitMs),
    async set(key, value, { ttlMs, ifAbsent = false, limitMs = defaultLimitMs } = {}) {
      const expiry = ttlMs === undefined ? [] : ["PX", Math.ceil(ttlMs)];
      const condition = ifAbsent ? ["NX"] : [];
      return (
        (await sender.send("set", [full(key), value, ...expiry, ...condition], "utf8", limitMs)) === "OK"
      );
    },
    delete: (...keys) => unlink(sender, keys.map(full), sharded, defaultLimitMs),
    async append(stream, fields, maxLength) {
      const args = [full(stream), "MAXLEN", "~", maxLength, "*", ...Object.entries(fields).flat()];
      await sender.send("xadd", args, "utf8", defaultLimitMs);
    },
    async scan(prefix, limit) {
      const keys = await scan(sender, keyPrefix + prefix, limit, defaultLimitMs);
      return keys.map((key) => key.slice(keyPrefix.length));
    },
  };
}

async function getBytes(
  sender: CommandSender,
  key: string,
  limitMs: number,
  maxBytes: number | undefined,
): Promise<Buffer | null> {
  const start = maxBytes === undefined ? undefined : await getStart(sender, key, maxBytes, limitMs);
  if (start !== undefined) return start;
  const reply = await sender.send("get", [key], null, limitMs);
  if (reply === null || Buffer.isBuffer(reply)) return reply;
  throw new StoreUnavailable("get: an answer of another type");
}

async function getPart(
  sender: CommandSender,
  key: string,
  from: number,
  length: number,
  limitMs: number,
): Promise<Buffer> {
  const reply = await sender.send("getrange", [key, from, from + length - 1], null, limitMs);
  if (Buffer.isBuffer(reply)) return reply;
  throw new StoreUnavailable("getrange: an answer of another type");
}

async function unlink(
  sender: CommandSender,
  keys: readonly string[],
  sharded: boolean,
  limitMs: number,
): Promise<number> {
  // In a Cluster, the keys of one command must share a slot, so each key gets its own command.
  const commands = sharded ? keys.map((key) => [key]) : keys.length > 0 ? [keys] : [];
  const counts = await Promise.all(
    sender.batch(() => commands.map((args) => sender.send("unlink", args, "utf8", limitMs))),
  );
  return counts.reduce<number>((sum, count) => sum + Number(count), 0);
}

/** @returns undefined = use `get`: the value is missing or empty, or the user may not GETRANGE */
async function getStart(
  sender: CommandSender,
  key: string,
  maxBytes: number,
  limitMs: number,
): Promise<Buffer | undefined> {
  try {
    const reply = await sender.send("getrange", [key, 0, maxBytes], null, limitMs);
    return Buffer.isBuffer(reply) && reply.length > 0 ? reply : undefined;
  } catch (error) {
    if (error instanceof StoreUnavailable && error.code === "NOPERM") return undefined;
    throw error;
  }
}

async function scan(
  sender: CommandSender,
  prefix: string,
  limit: number,
  pageLimitMs: number,
): Promise<string[]> {
  const pattern = `${prefix.replaceAll(/[\\*?[\]]/gu, String.raw`\$&`)}*`;
  const endAt = performance.now() + scanLimitMs;
  const found = new Set<string>(); // SCAN may return a key twice
  for (const node of sender.masters()) {
    let cursor: unknown = "0";
    do {
      const args = [String(cursor), "MATCH", pattern, "COUNT", 500];
      const page = await sender.send("scan", args, "utf8", pageLimitMs, node);
      if (!Array.isArray(page) || !Array.isArray(page[1]))
        throw new StoreUnavailable("scan: an answer of another type");
      cursor = page[0];
      for (const key of page[1]) found.add(String(key));
      if (found.size >= limit) return [...found].slice(0, limit);
      if (performance.now() > endAt) throw new StoreUnavailable("scan: no answer in time");
    } while (cursor !== "0");
  }
  return [...found];
}
