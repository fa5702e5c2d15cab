// Receives changes of keys from one server: CLIENT TRACKING in broadcast mode, redirected to the same connection, where
// RESP2 delivers them as messages of a channel. There is only one connection, so it cannot half-work. To prove that it
// works, a scratch key is changed again and again, and its change must arrive.
import type { Redis } from "ioredis";
import type { Link, OnLink } from "./connect.ts";
import { noAnswer, reasonOf, refusalOf } from "./failure.ts";
import { withinLimit } from "../plugin-api/within-limit.ts";

const invalidations = "__redis__:invalidate";
/** The longest wait for each of the client's commands. */
const answerMs = 1_000;
/** The longest wait for the scratch key's change; twice, because Redis may pause between its answer and the message. */
const probeMs = 500;
const changes = 2;
/** How often a change of the scratch key must arrive. Changes by other sidecars count: all receive them. */
const provenEveryMs = 1_000;
/** Failed changes of the scratch key in a row that are tolerated: Redis may be slow for a moment. */
const toleratedWriteFailures = 1;
const notDelivered = "change messages do not come";

/** The subscriptions, including the global prefix. */
export interface Wanted {
  /** Key prefixes; no two overlap (Redis refuses that). */
  readonly prefixes: readonly string[];
  readonly channels: readonly string[];
}

export interface InvalidationClientOptions {
  open(onLink: OnLink): Link<Redis>;
  wanted(): Wanted;
  readonly probe: {
    /** Whether the key is a scratch key, which has no other listener. */
    matches(key: string): boolean;
    /** Changes a scratch key on this server, over another connection. Rejects at the time limit, by `withinLimit`. */
    write(): Promise<void>;
  };
  /** null = changes may have been missed: after each subscription, and after FLUSHALL or FLUSHDB. */
  onKey(key: string | null): void;
  onChannel(channel: string): void;
  /** Called only for changes. */
  onLink: OnLink;
  /** Called for every failed attempt to connect. */
  onUnconnected(): void;
}

export class InvalidationClient {
  readonly #options: InvalidationClientOptions;
  readonly #link: Link<Redis>;
  #channels: readonly string[] = [];
  /** The last reported reason; "" = subscribed. */
  #lastReason: string | undefined;
  #proven = false;
  #subscribing = false;
  /** Counts requests to subscribe, so that one made while another runs is not lost. */
  #requests = 0;
  #failures = 0;
  #failedWrites = 0;
  /** The error of the first failed write: later ones most often only say that the connection was given up. */
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
      // Repeated failures to reconnect are no news, and say less than the reason why the last connection failed.
      if (this.#lastReason === undefined || this.#lastReason === "") this.#tell(reason);
    });
    this.#link.client.on("messageBuffer", (channel: Buffer, message: unknown) => {
      if (String(channel) !== invalidations) options.onChannel(String(channel));
      // ioredis types it as Buffer; an invalidation carries a list of keys, or null when a database was flushed.
      else if (Array.isArray(message)) for (const key of message) this.#onInvalidation(String(key));
      else if (message === null) options.onKey(null);
      // Other messages were published by a client: it must not be able to make the sidecar drop its caches.
    });
  }

  /** Changes are received: every prefix and channel is subscribed, and the scratch key's change arrived. */
  get subscribed(): boolean {
    return this.#proven;
  }

  /** Call it when the subscriptions or the connection have changed: subscribes again. */
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

  /** Changes the scratch key and waits for the message, then again later. */
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
    // Of many sidecars, the first one to probe serves all: the shortest of many random pauses is near the minimum.
    const pauseMs = provenEveryMs * (1 + Math.random() / 4);
    this.#timer = setTimeout(() => {
      // A received message also shows that the connection lives: a large fleet needs no further probes.
      if (this.#proven && performance.now() - this.#probeSeenMono < pauseMs) return this.#proveLater();
      // An unanswered PING ends the connection by the socket's time limit.
      this.#link.client.ping().catch(() => {});
      void this.#prove();
    }, pauseMs).unref();
  }

  /** It is unknown whether changes are received: they are polled for, and messages that do arrive still count. */
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

  /** Resolves when the scratch key's change has arrived, or at the time limit. */
  #untilProbeSeen(): Promise<void> {
    return new Promise((resolve) => {
      // After a stall of this process, the message may be in the socket already: it is read first.
      const timer = setTimeout(() => setImmediate(done), probeMs);
      const done = (): void => {
        clearTimeout(timer);
        this.#onProbeSeen = undefined;
        resolve();
      };
      this.#onProbeSeen = done;
    });
  }

  /**
   * Retries after the server refused (no permission, no such command) or was silent, where a new connection may help.
   * The delay grows each time.
   */
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

/** Runs one of the client's commands within the time limit; a refusal names the missing right. */
async function step<Reply>(command: string, right: string, send: () => Promise<Reply>): Promise<Reply> {
  try {
    return await withinLimit(send(), answerMs, noAnswer);
  } catch (error) {
    throw refusalOf(error, command, right);
  }
}
