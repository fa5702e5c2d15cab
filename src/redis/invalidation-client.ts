// Hears from one server which keys changed: CLIENT TRACKING in broadcast mode, redirected to the same connection, which
// RESP2 then delivers as messages of a channel. One connection, so that it cannot half-work; and what it is said to do is
// not believed: a scratch key is changed, and must come back, again and again.
import type { Redis } from "ioredis";
import type { Link, OnLink } from "./connect.ts";
import { noAnswer, reasonOf, refusalOf } from "./failure.ts";
import { withinLimit } from "../plugin-api/within-limit.ts";

const invalidations = "__redis__:invalidate";
/** Longest wait for each of our commands. */
const answerMs = 1_000;
/** Longest wait for the scratch key to come back; twice, because Redis may pause between its answer and the message. */
const probeMs = 500;
const changes = 2;
/** How often the scratch key must have come, whoever changed it: sidecars hear each other's. */
const provenEveryMs = 1_000;
/** Changes of the scratch key that may fail one after another: Redis may be slow for a moment. */
const toleratedWriteFailures = 1;
const notDelivered = "change messages do not come";

/** What to subscribe to, with the global prefix. */
export interface Wanted {
  /** Keys by what they begin with; no two overlap (Redis refuses that). */
  readonly prefixes: readonly string[];
  readonly channels: readonly string[];
}

export interface InvalidationClientOptions {
  open(onLink: OnLink): Link<Redis>;
  wanted(): Wanted;
  readonly probe: {
    /** Whether it is a scratch key, which has no other listener. */
    matches(key: string): boolean;
    /** Changes one that lives on this server, over another connection; in the end rejects as `limit.ts` says. */
    write(): Promise<void>;
  };
  /** null = changes may have been missed: after each subscription, and after FLUSHALL or FLUSHDB. */
  onKey(key: string | null): void;
  onChannel(channel: string): void;
  /** Told of changes only. */
  onLink: OnLink;
  /** Told of every attempt to connect that failed. */
  onUnconnected(): void;
}

export class InvalidationClient {
  readonly #options: InvalidationClientOptions;
  readonly #link: Link<Redis>;
  #channels: readonly string[] = [];
  /** What was said last; "" = subscribed. */
  #lastReason: string | undefined;
  #proven = false;
  #subscribing = false;
  /** Counts requests to subscribe, so that one that comes during another is not lost. */
  #requests = 0;
  #failures = 0;
  #failedWrites = 0;
  /** Why the first of them failed: what follows is more often that the connection was given up. */
  #writeFailure: string | undefined;
  #probeSeenMono = -Infinity;
  #onProbeSeen: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: InvalidationClientOptions) {
    this.#options = options;
    this.#link = options.open((up, reason) => {
      this.#proven = false;
      this.#channels = [];
      if (up) {
        this.resubscribe();
        return;
      }
      options.onUnconnected();
      // Attempt after attempt to connect again is no news, and less than why a connection that stood was of no use.
      if (this.#lastReason === undefined || this.#lastReason === "") this.#tell(reason);
    });
    this.#link.client.on("messageBuffer", (channel: Buffer, message: unknown) => {
      if (String(channel) !== invalidations) options.onChannel(String(channel));
      // ioredis types it as Buffer; an invalidation carries a list of keys, or null when a database was flushed.
      else if (Array.isArray(message)) for (const key of message) this.#onInvalidation(String(key));
      else if (message === null) options.onKey(null);
      // Anything else was published by somebody: forgetting all at their word would be work without end.
    });
  }

  /** Changes are told: every prefix and channel is subscribed to, and the scratch key came back. */
  get subscribed(): boolean {
    return this.#proven;
  }

  /** What is wanted or the connection has changed: ask the server again. */
  resubscribe(): void {
    this.#requests += 1;
    clearTimeout(this.#timer);
    if (this.#link.up && !this.#subscribing) void this.#subscribe();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#onProbeSeen?.();
    this.#link.close();
  }

  async #subscribe(): Promise<void> {
    this.#subscribing = true;
    this.#proven = false;
    this.#writeFailure = undefined;
    try {
      for (let done = 0; done !== this.#requests;) {
        done = this.#requests;
        await this.#track();
      }
    } catch (error) {
      if (this.#link.up) this.#retryLater(reasonOf(error), isSilence(error));
      return;
    } finally {
      this.#subscribing = false;
    }
    await this.#prove();
  }

  async #track(): Promise<void> {
    const { client } = this.#link;
    const { prefixes, channels } = this.#options.wanted();
    // RESP2 takes no other command while subscribed.
    if (client.mode === "subscriber") {
      await step("UNSUBSCRIBE", "+unsubscribe", () => client.unsubscribe(...this.#channels));
    }
    const id = await step("CLIENT ID", "+client|id", () => client.client("ID"));
    await step("CLIENT TRACKING", "+client|tracking", () => client.call("CLIENT", "TRACKING", "OFF"));
    const tracked = prefixes.flatMap((prefix) => ["PREFIX", prefix]);
    const on = ["TRACKING", "ON", "REDIRECT", String(id), "BCAST", ...tracked];
    await step("CLIENT TRACKING", "+client|tracking", () => client.call("CLIENT", ...on));
    const all = [invalidations, ...channels];
    const rights = `+subscribe and ${all.map((channel) => `&${channel}`).join(" ")}`;
    await step("SUBSCRIBE", rights, () => client.subscribe(...all));
    this.#channels = all;
  }

  #onInvalidation(key: string): void {
    if (!this.#options.probe.matches(key)) {
      this.#options.onKey(key);
      return;
    }
    this.#probeSeenMono = performance.now();
    this.#onProbeSeen?.();
  }

  /** Has the scratch key come back, and looks again later. */
  async #prove(): Promise<void> {
    const connection = this.#requests;
    const startedMono = performance.now();
    try {
      for (let change = 0; change < changes && this.#probeSeenMono < startedMono; change++) {
        await this.#options.probe.write();
        if (this.#probeSeenMono < startedMono) await this.#untilProbeSeen();
      }
      this.#failedWrites = 0;
      this.#writeFailure = undefined;
    } catch (error) {
      if (this.#closed || connection !== this.#requests || !this.#link.up) return;
      this.#failedWrites += 1;
      this.#writeFailure ??= reasonOf(error);
      if (this.#proven && this.#failedWrites <= toleratedWriteFailures) this.#proveLater();
      else this.#probeFailed(this.#writeFailure);
      return;
    }
    if (this.#closed || connection !== this.#requests || !this.#link.up) return;
    if (this.#probeSeenMono < startedMono) {
      this.#proven = false;
      this.#retryLater(notDelivered, true);
      return;
    }
    this.#failures = 0;
    if (!this.#proven) {
      this.#proven = true;
      this.#tell("");
      this.#options.onKey(null);
    }
    this.#proveLater();
  }

  #proveLater(): void {
    clearTimeout(this.#timer);
    // Of many the first one asks for all: what is drawn is never much less.
    const pauseMs = provenEveryMs * (1 + Math.random() / 4);
    this.#timer = setTimeout(() => {
      // What came is a sign of life of the connection itself, too: a large fleet asks for no other.
      if (this.#proven && performance.now() - this.#probeSeenMono < pauseMs) return this.#proveLater();
      // Unanswered, it runs into its socket time limit.
      this.#link.client.ping().catch(() => {});
      void this.#prove();
    }, pauseMs).unref();
  }

  /** Whether changes are told cannot be said: they are looked for, and messages that come are taken. */
  #probeFailed(reason: string): void {
    const isNews = this.#lastReason !== reason;
    this.#proven = false;
    this.#tell(reason);
    if (isNews) this.#options.onKey(null);
    this.#proveLater();
  }

  #tell(reason: string): void {
    this.#lastReason = reason;
    this.#options.onLink(reason === "", reason);
  }

  /** Resolves when the scratch key has come, or at the time limit. */
  #untilProbeSeen(): Promise<void> {
    return new Promise((resolve) => {
      // After a stall of our own process the message may lie in the socket already: it is read first.
      const timer = setTimeout(() => setImmediate(done), probeMs);
      const done = (): void => {
        clearTimeout(timer);
        this.#onProbeSeen = undefined;
        resolve();
      };
      this.#onProbeSeen = done;
    });
  }

  /** The server refuses (no permission, no such command), or is silent, which a new connection may mend: ever more rarely. */
  #retryLater(reason: string, reconnect: boolean): void {
    this.#tell(reason);
    const delayMs = Math.min(250 * 2 ** this.#failures++, reconnect ? 2_000 : 30_000);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (reconnect && this.#link.up) this.#link.client.disconnect(true);
      else this.resubscribe();
    }, delayMs).unref();
  }
}

function isSilence(error: unknown): boolean {
  return reasonOf(error) === noAnswer;
}

/** One of our commands: within the time limit, and a refusal says which right is missing. */
async function step<Reply>(command: string, right: string, send: () => Promise<Reply>): Promise<Reply> {
  try {
    return await withinLimit(send(), answerMs, noAnswer);
  } catch (error) {
    throw refusalOf(error, command, right);
  }
}
