// Certificates, keys and authorities that are read again when their files change: they are renewed every few weeks, or
// hours, and connections must not notice.
import { X509Certificate } from "node:crypto";
import type { Gauge, Logger, Metrics } from "../plugin-api/telemetry.ts";
import { certificatesIn } from "./pem.ts";

const everyMs = 5_000;

export interface Watched<T> {
  /** Of whom, for the log. */
  readonly of: string;
  /** @throws Error when a file cannot be read, or what is in it fits together no more */
  read(): T;
  /** Changes when what was read has. */
  fingerprint(content: T): string;
  apply(content: T): void;
}

/**
 * Looks for changes every few seconds: renewals replace symbolic links and folders in ways that file watchers miss.
 * @param current what is in force
 * @returns stops looking
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
      // A pair that does not fit yet, or a file half written: the old one serves, the next look tries again.
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

/** @returns when the first certificate of these chains is over, in seconds since 1970; 0 when none can be read */
export function expiryOf(chains: readonly string[]): number {
  try {
    const ends = chains.flatMap(certificatesIn).map((pem) => new X509Certificate(pem).validToDate.getTime());
    return ends.length === 0 ? 0 : Math.min(...ends) / 1000;
  } catch {
    return 0; // TLS took it all the same: the alert on what is over brings somebody to look at it.
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
