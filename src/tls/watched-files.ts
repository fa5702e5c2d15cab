// Re-reads certificates, keys and authorities when their files change. They are renewed every few weeks, or hours, and
// connections must not notice.
import { X509Certificate } from "node:crypto";
import type { Gauge, Logger, Metrics } from "../plugin-api/telemetry.ts";
import { certificatesIn } from "./pem.ts";

const everyMs = 5_000;

export interface Watched<T> {
  /** The user of the files, for the log. */
  readonly of: string;
  /** @throws Error if a file cannot be read, or the contents do not fit together */
  read(): T;
  /** Differs whenever the content differs. */
  fingerprint(content: T): string;
  apply(content: T): void;
}

/**
 * Looks for changes every few seconds: renewals replace symbolic links and folders in ways that file watchers miss.
 * @param current the content in force
 * @returns a function that stops the checks
 */
export function watchFiles<T>(current: T, watched: Watched<T>, logger: Logger): () => void {
  let inForce = watched.fingerprint(current);
  let told: string | undefined;
  const look = (): void => {
    try {
      const content = watched.read();
      const next = watched.fingerprint(content);
      if (next !== inForce) {
        watched.apply(content);
        inForce = next;
        logger.info({ of: watched.of }, "certificate reloaded");
      }
      told = undefined;
    } catch (error) {
      // For example a new certificate without its new key yet, or a half-written file: the old content stays in use,
      // and the next look tries again.
      const text = String(error);
      if (text === told) return;
      told = text;
      logger.warn(
        { of: watched.of, err: error },
        "certificate could not be reloaded; the old one serves until its files are right",
      );
    }
  };
  const timer = setInterval(look, everyMs);
  timer.unref();
  process.on("SIGHUP", look);
  return () => {
    clearInterval(timer);
    process.off("SIGHUP", look);
  };
}

/** @returns when the first certificate of these chains expires, in seconds since 1970; 0 if none can be read */
export function expiryOf(chains: readonly string[]): number {
  try {
    const ends = chains.flatMap(certificatesIn).map((pem) => new X509Certificate(pem).validToDate.getTime());
    return ends.length === 0 ? 0 : Math.min(...ends) / 1000;
  } catch {
    return 0; // TLS accepted it all the same. The alert on expired certificates makes an operator look at it.
  }
}

/** @param of listener, upstream or egress */
export function expiryGauge(metrics: Metrics, of: string): Gauge {
  return metrics.gauge(
    "outrigger_certificate_expiry_timestamp_seconds",
    "When the first certificate of the chain that is shown there is over",
    ["of"],
    "min",
  )(of);
}
