// Hears from one server which keys changed: CLIENT TRACKING in broadcast mode, redirected to the same connection, which
// RESP2 then delivers as messages of a channel. One connection, so that it cannot half-work.
import type { Redis } from "ioredis";
import type { Link, OnLink } from "./connect.ts";
import { reasonOf } from "./failure.ts";

const channel = "__redis__:invalidate";
/** How often the connection is asked for a sign of life; unanswered, it runs into its socket time limit. */
const heartbeatMs = 2_000;

export interface TrackerOptions {
  open(onLink: OnLink): Link<Redis>;
  /** What to track, with the global prefix; no two overlap (Redis refuses that). */
  prefixes(): readonly string[];
  /** null = keys may have changed unheard: after arming, and after FLUSHALL or FLUSHDB. */
  onKey(key: string | null): void;
  onLink: OnLink;
}

export class Tracker {
  readonly #options: TrackerOptions;
  readonly #link: Link<Redis>;
  readonly #heartbeat: NodeJS.Timeout;
  #armed = false;
  #arming = false;
  /** Counts what asked for arming, so that a request during one is not lost. */
  #asked = 0;
  #refusals = 0;
  #retry: NodeJS.Timeout | undefined;

  constructor(options: TrackerOptions) {
    this.#options = options;
    this.#link = options.open((up, reason) => {
      this.#armed = false;
      if (up) this.rearm();
      else options.onLink(false, reason);
    });
    const { client } = this.#link;
    client.on("messageBuffer", (_channel: Buffer, message: unknown) => {
      // ioredis types it as Buffer; an invalidation carries a list of keys, or null when a database was flushed.
      if (!Array.isArray(message)) options.onKey(null);
      else for (const key of message) options.onKey(String(key));
    });
    this.#heartbeat = setInterval(() => {
      if (this.#armed) client.ping().catch(() => {});
    }, heartbeatMs).unref();
  }

  /** Tracking is on for all prefixes asked for. */
  get armed(): boolean {
    return this.#armed;
  }

  /** The prefixes or the connection have changed: ask the server again. */
  rearm(): void {
    this.#asked += 1;
    clearTimeout(this.#retry);
    if (this.#link.up && !this.#arming) void this.#arm();
  }

  close(): void {
    clearInterval(this.#heartbeat);
    clearTimeout(this.#retry);
    this.#link.close();
  }

  async #arm(): Promise<void> {
    this.#arming = true;
    this.#armed = false;
    try {
      for (let done = 0; done !== this.#asked;) {
        done = this.#asked;
        await this.#track();
      }
      this.#armed = true;
      this.#refusals = 0;
    } catch (error) {
      if (this.#link.up) this.#retryLater(reasonOf(error));
    } finally {
      this.#arming = false;
    }
    if (!this.#armed) return;
    this.#options.onLink(true, "");
    this.#options.onKey(null);
  }

  async #track(): Promise<void> {
    const { client } = this.#link;
    // RESP2 takes no other command while subscribed.
    if (client.mode === "subscriber") await client.unsubscribe(channel);
    const id = await client.client("ID");
    await client.call("CLIENT", "TRACKING", "OFF");
    const prefixes = this.#options.prefixes().flatMap((prefix) => ["PREFIX", prefix]);
    await client.call("CLIENT", "TRACKING", "ON", "REDIRECT", String(id), "BCAST", ...prefixes);
    await client.subscribe(channel);
  }

  /** The connection stands but the server refuses (no permission, no such command): ever more rarely. */
  #retryLater(reason: string): void {
    this.#options.onLink(false, reason);
    this.#retry = setTimeout(() => this.rearm(), Math.min(500 * 2 ** this.#refusals++, 30_000)).unref();
  }
}
