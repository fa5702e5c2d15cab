// Keeps the webhook's certificate current: reloads changed files, and logs when it is about to end or has ended.
import type { Gauge, Logger } from "../plugin-api/telemetry.ts";
import { type Pair, readPair } from "../tls/read-files.ts";
import { expiryOf, watchFiles } from "../tls/watched-files.ts";

const dayMs = 86_400_000;
const warnDays = 7;
const lookEveryMs = 60_000;
const sayEveryMs = 3_600_000;

export interface CertificateOptions {
  readonly logger: Logger;
  /** Expiry in seconds since 1970. */
  readonly expiry: Gauge;
  /** Puts a renewed pair in force. */
  readonly use: (pair: Pair) => void;
}

export class LiveCertificate {
  /** The pair read at the start. */
  readonly pair: Pair;
  readonly #files: Pair;
  readonly #options: CertificateOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #stopWatching: () => void;
  #endsMs = 0;
  #saidMs = -Infinity;

  /** @throws Error when a file is unreadable or incomplete, or the key does not belong to the certificate */
  constructor(files: Pair, options: CertificateOptions) {
    this.#files = files;
    this.#options = options;
    this.pair = readPair(files);
    const watched = {
      of: "injector",
      read: () => readPair(files),
      fingerprint: (content: Pair) => JSON.stringify(content),
      apply: (content: Pair) => {
        options.use(content);
        this.#observe(content);
      },
    };
    this.#stopWatching = watchFiles(this.pair, watched, options.logger);
    this.#observe(this.pair);
    this.#timer = setInterval(() => this.#look(), lookEveryMs);
    this.#timer.unref();
  }

  /** Whether the certificate is valid, for the readiness check. */
  state(): { readonly ok: boolean; readonly detail: string } {
    const ended = Date.now() >= this.#endsMs;
    const detail = `${ended ? "ended" : "ends"} ${new Date(this.#endsMs).toISOString()}`;
    return { ok: !ended, detail: ended ? `${detail}: ${renew}` : detail };
  }

  /** Stops watching the files. */
  close(): void {
    this.#stopWatching();
    clearInterval(this.#timer);
  }

  #observe({ cert }: Pair): void {
    const seconds = expiryOf([cert]);
    this.#endsMs = seconds * 1000;
    this.#saidMs = -Infinity;
    this.#options.expiry.set(seconds);
    this.#look();
  }

  #look(): void {
    const nowMs = Date.now();
    if (nowMs < this.#endsMs - warnDays * dayMs || nowMs - this.#saidMs < sayEveryMs) return;
    this.#saidMs = nowMs;
    const { logger } = this.#options;
    const fields = { cert: this.#files.cert, ends: new Date(this.#endsMs).toISOString() };
    if (nowMs < this.#endsMs)
      logger.warn(fields, `the webhook's certificate ends within ${warnDays} days: ${renew}`);
    else
      logger.error(
        fields,
        `the webhook's certificate has ended: the API server takes no answer of it, and creates no pods where failurePolicy is Fail: ${renew}`,
      );
  }
}

const renew =
  "look at the Job and CronJob outrigger-injector-cert (`outrigger injector cert`), or at cert-manager's Certificate";
