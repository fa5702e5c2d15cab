// Opens connections to Redis and keeps them open: the options that bound every wait, the back-off that never gives up.
import { Cluster, Redis, type RedisOptions } from "ioredis";
import type { RedisAddress, RedisNode } from "./address.ts";
import { connectionLost, noAnswer, reasonOf, replyCode } from "./failure.ts";
import { endConnectionsOnOddReplies } from "./odd-replies.ts";
import { serving } from "./serving.ts";
import { makeStringPrototypeFast } from "./string-prototype.ts";
import { redisTls } from "./tls.ts";

endConnectionsOnOddReplies();
makeStringPrototypeFast();

/** A client that is being kept connected. */
export interface Link<Client extends Redis | Cluster> {
  readonly client: Client;
  /** Connected, authenticated and, for a server, not loading. */
  readonly up: boolean;
  /** Ends it for good; the event loop is free at the latest when the handshake under way has reached its time limit. */
  close(): void;
}

/**
 * Told of every attempt that ended, too: the listener keeps what it wants to know. With `up` the reason is what
 * is amiss all the same.
 */
export type OnLink = (up: boolean, reason: string) => void;

/** Half of it is random, so that a fleet does not come back in step. */
function backoffMs(attempt: number): number {
  return Math.min(50 * 2 ** attempt, 2_000) * (0.5 + Math.random() / 2);
}

/** At most one reconnection in 5 s: a server that is read-only for good must not be hammered. */
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
    disableClientInfo: true, // CLIENT SETINFO: one more command to permit, and our name says who we are
    ...(address.tls ? { tls: redisTls(address.tlsFiles) } : {}),
    // RESP3 of ioredis 6.0.0 drops invalidation messages, and one protocol everywhere is one behaviour to know.
    protocol: 2,
    // Nothing is queued and nothing is sent twice: a command in flight fails when its connection does.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    // Ends a half-open connection; calls have their own limit (commandTimeout would be one more timer for each).
    socketTimeout: 2_000,
    connectTimeout: 2_000,
    disconnectTimeout: 200,
    keepAlive: 10_000,
    // It would never be ready for a user who may not ask INFO (ioredis 6.0.0): serving.ts is more lenient.
    enableReadyCheck: false,
    retryStrategy: backoffMs,
    reconnectOnError: reconnectWhenReadOnly(),
  } as const satisfies RedisOptions;
}

/** One connection to the server or, by way of the sentinels, to the master. */
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
    // No retry inside the connector: its timer could not be ended (ioredis 6.0.0); keepOpen starts over.
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
 * After an orderly failover the old master goes on taking writes for seconds: leave it when a sentinel says so. (The
 * failoverDetector of ioredis 6.0.0 does this, too, but prints to the console while a sentinel is away.)
 */
function hearOfFailover(address: RedisAddress, name: string, onFailover: () => void): () => void {
  const login = { username: address.sentinelUsername, password: address.sentinelPassword, db: 0 };
  const links = address.nodes.map((node) => {
    const sentinel = new Redis({ ...options(address, name), ...node, ...login });
    sentinel.on("message", (_channel, message) => {
      if (message.startsWith(`${address.masterName} `)) onFailover();
    });
    return keepOpen(sentinel, (up) => {
      if (up) sentinel.subscribe("+switch-master").catch(() => {}); // refused: demotion will end the old connection
    });
  });
  return () => {
    for (const link of links) link.close();
  };
}

/** One connection to one node of a Cluster. */
export function openNode(address: RedisAddress, node: RedisNode, name: string, onLink: OnLink): Link<Redis> {
  return keepOpen(new Redis({ ...options(address, name), ...node }), onLink);
}

/** The whole Cluster: a connection to every node that calls go to. */
export function openCluster(address: RedisAddress, name: string, onLink: OnLink): Link<Cluster> {
  const { retryStrategy: _, ...redisOptions } = options(address, name);
  const client = new Cluster([...address.nodes], {
    redisOptions,
    // Not as above: a call that a redirection leads to a new node waits, within its limit, until that is connected.
    enableOfflineQueue: true,
    // CLUSTER INFO, as INFO above. A Cluster that is down says so to every call.
    enableReadyCheck: false,
    clusterRetryStrategy: backoffMs,
    slotsRefreshInterval: 15_000,
    maxRedirections: 4,
    // A command whose node is lost fails at once: sending it again might run it twice.
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    // Certificates are made out to names: leave them unresolved.
    ...(address.tls ? { dnsLookup: (host, done) => done(null, host) } : {}),
  });
  // Nodes connect when first used: have that done before a call needs it.
  client.on("+node", (node: Redis) => void node.connect().catch(() => {}));
  return keepOpen(client, onLink);
}

/** Longest wait for the answers to our first commands, loading from disk included. */
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
      // ioredis goes on in database 0 when SELECT is refused: other people's keys.
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

  /** What follows a failure, and comes last, is that everything in flight lost its connection. */
  #note(error: unknown): void {
    const latest = reasonOf(error, this.#overTls);
    if (latest !== connectionLost) this.#reason = latest;
  }

  /** Whoever answers a few bytes now and then never runs into the socket's time limit. */
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

  /** ioredis gives up for good when no sentinel answers or a reconnection is broken off. */
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
