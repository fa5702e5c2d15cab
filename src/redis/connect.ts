// Opens connections to Redis and keeps them open, with limits for every wait, and a backoff that never gives up.
import { Cluster, Redis, type RedisOptions } from "ioredis";
import type { RedisAddress, RedisNode } from "./address.ts";
import { connectionLost, noAnswer, reasonOf, replyCode } from "./failure.ts";
import { endConnectionsOnOddReplies } from "./odd-replies.ts";
import { serving } from "./serving.ts";
import { makeStringPrototypeFast } from "./string-prototype.ts";
import { redisTls } from "./tls.ts";

endConnectionsOnOddReplies();
makeStringPrototypeFast();

/** A client that is kept connected. */
export interface Link<Client extends Redis | Cluster> {
  readonly client: Client;
  /** Connected, authenticated and, for a server, not loading. */
  readonly up: boolean;
  /** Closes it for good. The event loop is free at the latest when a running handshake reaches its time limit. */
  close(): void;
}

/**
 * Called for every change, and also for every failed attempt: the listener filters. With `up`, the reason names a
 * remaining problem.
 */
export type OnLink = (up: boolean, reason: string) => void;

/** Half of the delay is random, so that the sidecars of a fleet do not reconnect in step. */
function backoffMs(attempt: number): number {
  return Math.min(50 * 2 ** attempt, 2_000) * (0.5 + Math.random() / 2);
}

/** Reconnects at most once in 5 s: a server that stays read-only must not be hammered. */
function reconnectWhenReadOnly(): (error: Error) => boolean {
  let next = 0;
  return (error) => {
    if (replyCode(error) !== "READONLY" || performance.now() < next) return false;
    next = performance.now() + 5_000;
    return true;
  };
}

function options(address: RedisAddress, name: string) {
  return {
    username: address.username,
    password: address.password,
    db: address.db,
    connectionName: name,
    disableClientInfo: true, // CLIENT SETINFO would need one more permission, and the connection name says enough
    ...(address.tls ? { tls: redisTls(address.tlsFiles) } : {}),
    // With RESP3, ioredis 6.0.0 drops invalidation messages; and one protocol everywhere is one behaviour to know.
    protocol: 2,
    // Nothing is queued, and nothing is sent twice: a command in flight fails when its connection does.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    // Ends a half-open connection. Calls have their own limit (commandTimeout would add a timer for each).
    socketTimeout: 2_000,
    connectTimeout: 2_000,
    disconnectTimeout: 200,
    keepAlive: 10_000,
    // With it, the client would never be ready for a user without INFO (ioredis 6.0.0). serving.ts is more lenient.
    enableReadyCheck: false,
    retryStrategy: backoffMs,
    reconnectOnError: reconnectWhenReadOnly(),
  } as const satisfies RedisOptions;
}

/** Opens one connection to the server or, through the sentinels, to the master. */
export function openServer(address: RedisAddress, name: string, onLink: OnLink): Link<Redis> {
  const common = options(address, name);
  if (address.kind !== "sentinel") return keepOpen(new Redis({ ...common, ...address.nodes[0] }), onLink);
  const client = new Redis({
    ...common,
    sentinels: [...address.nodes],
    name: address.masterName,
    sentinelUsername: address.sentinelUsername,
    sentinelPassword: address.sentinelPassword,
    enableTLSForSentinelMode: address.tls,
    ...(address.tls ? { sentinelTLS: redisTls(address.tlsFiles) } : {}),
    sentinelCommandTimeout: 1_000,
    // The connector must not retry: its timer could not be ended (ioredis 6.0.0). keepOpen starts over.
    sentinelRetryStrategy: () => null,
  });
  const link = keepOpen(client, onLink);
  const stop = hearOfFailover(address, name, () => client.disconnect(true));
  return {
    client,
    get up() {
      return link.up;
    },
    close() {
      stop();
      link.close();
    },
  };
}

/**
 * Calls back when a sentinel reports a failover, since the old master goes on accepting writes for seconds after an
 * orderly one. (The failoverDetector of ioredis 6.0.0 does the same, but prints to the console while a sentinel is
 * away.)
 */
function hearOfFailover(address: RedisAddress, name: string, onFailover: () => void): () => void {
  const login = { username: address.sentinelUsername, password: address.sentinelPassword, db: 0 };
  const links = address.nodes.map((node) => {
    const sentinel = new Redis({ ...options(address, name), ...node, ...login });
    sentinel.on("message", (_channel, message) => {
      if (message.startsWith(`${address.masterName} `)) onFailover();
    });
    return keepOpen(sentinel, (up) => {
      if (up) sentinel.subscribe("+switch-master").catch(() => {}); // if refused, the old master's demotion ends its connection
    });
  });
  return () => {
    for (const link of links) link.close();
  };
}

/** Opens one connection to one node of a Cluster. */
export function openNode(address: RedisAddress, node: RedisNode, name: string, onLink: OnLink): Link<Redis> {
  return keepOpen(new Redis({ ...options(address, name), ...node }), onLink);
}

/** Opens the whole Cluster: one connection to every node that calls go to. */
export function openCluster(address: RedisAddress, name: string, onLink: OnLink): Link<Cluster> {
  const { retryStrategy: _, ...redisOptions } = options(address, name);
  const client = new Cluster([...address.nodes], {
    redisOptions,
    // Unlike above: a call that is redirected to a new node waits, within its limit, until that node is connected.
    enableOfflineQueue: true,
    // It needs CLUSTER INFO, as above INFO. A Cluster that is down says so to every call.
    enableReadyCheck: false,
    clusterRetryStrategy: backoffMs,
    slotsRefreshInterval: 15_000,
    maxRedirections: 4,
    // A command whose node is lost fails at once: a second one might run it twice.
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    // Certificates are issued for names, so the names stay unresolved.
    ...(address.tls ? { dnsLookup: (host, done) => done(null, host) } : {}),
  });
  // By default, nodes connect when first used: connect before a call needs them.
  client.on("+node", (node: Redis) => void node.connect().catch(() => {}));
  return keepOpen(client, onLink);
}

/** The longest wait for the answers to the first commands, including the time to load data from disk. */
const handshakeMs = 3_000;

function keepOpen<Client extends Redis | Cluster>(client: Client, onLink: OnLink): Link<Client> {
  return new KeptOpen(client, onLink);
}

class KeptOpen<Client extends Redis | Cluster> implements Link<Client> {
  readonly client: Client;
  up = false;
  readonly #onLink: OnLink;
  readonly #overTls: boolean;
  #closed = false;
  #reason = connectionLost;
  #attempts = 0;
  #retry: NodeJS.Timeout | undefined;
  #handshake: NodeJS.Timeout | undefined;

  constructor(client: Client, onLink: OnLink) {
    this.client = client;
    this.#onLink = onLink;
    this.#overTls = isOverTls(client);
    const emitter: NodeJS.EventEmitter = client;
    emitter.on("error", (error: unknown) => {
      this.#note(error);
      // If SELECT is refused, ioredis goes on in database 0, which may hold other people's keys.
      if (!(client instanceof Cluster) && commandOf(error) === "select") client.disconnect(true);
    });
    emitter.on("node error", (error: unknown) => this.#note(error));
    emitter.on("connect", () => this.#onConnect());
    emitter.on("ready", () => this.#onReady());
    emitter.on("close", () => this.#tell(false));
    emitter.on("end", () => this.#onEnd());
  }

  close(): void {
    this.#closed = true;
    this.up = false;
    clearTimeout(this.#retry);
    clearTimeout(this.#handshake);
    this.client.disconnect();
  }

  #tell(now: boolean, why = this.#reason): void {
    clearTimeout(this.#handshake);
    if (this.#closed) return;
    this.up = now;
    if (now) this.#reason = connectionLost;
    this.#onLink(now, why);
  }

  /** The last error after a failure is always that commands lost their connection: it must not hide the cause. */
  #note(error: unknown): void {
    const latest = reasonOf(error, this.#overTls);
    if (latest !== connectionLost) this.#reason = latest;
  }

  /** A server that sends a few bytes now and then never reaches the socket's time limit. */
  #onConnect(): void {
    if (this.#closed) return;
    clearTimeout(this.#handshake);
    this.#handshake = setTimeout(() => {
      this.#reason = noAnswer;
      this.client.disconnect(true);
    }, handshakeMs);
  }

  #onReady(): void {
    const { client } = this;
    this.#attempts = 0;
    if (client instanceof Cluster) this.#tell(true, "");
    else
      void serving(client, (error) => this.#note(error)).then(
        (refused) => refused !== undefined && this.#tell(true, refused),
      );
  }

  /** ioredis gives up for good if no sentinel answers or a reconnection is interrupted. */
  #onEnd(): void {
    this.#tell(false);
    if (this.#closed) return;
    const reconnect = (): void => void this.client.connect().catch(() => {});
    this.#retry = setTimeout(reconnect, backoffMs(++this.#attempts));
  }
}

function isOverTls(client: Redis | Cluster): boolean {
  return (client instanceof Cluster ? client.options.redisOptions : client.options)?.tls !== undefined;
}

function commandOf(error: unknown): unknown {
  return (error as { command?: { name?: unknown } }).command?.name;
}
