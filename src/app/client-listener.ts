// The listener for clients as the settings have it: its addresses, whom it believes, its certificate.
import type { AddressInfo } from "node:net";
import type { Config } from "../config/config.ts";
import { bind } from "../config/start-error.ts";
import type { RoutedPolicy } from "../routing/routed-policy.ts";
import { Listener } from "../server/listener.ts";
import type { ListenPlace } from "../server/listening-sockets.ts";
import { expiryOf, readTlsFiles, type TlsFiles, watchTlsFiles } from "../server/tls-files.ts";
import type { Telemetry } from "../telemetry/process.ts";
import type { ProcessContext } from "./process-context.ts";

/** Where a sidecar listens, in the order of the setting. */
export type Addresses = (AddressInfo | string)[];

export interface ClientListener {
  readonly listener: Listener;
  /** Rejects with StartError, listening nowhere, when an address cannot be bound. */
  listen(): Promise<Addresses>;
  close(): void;
}

/**
 * @param shared whether other processes take connections of the same sockets
 * @throws Error when a file that the settings name cannot be read
 */
export function createClientListener(
  context: ProcessContext,
  config: Config,
  shared: boolean,
  policy: () => RoutedPolicy | undefined,
): ClientListener {
  const tls = tlsFilesOf(config);
  const listener = createListener(context, config, tls, shared, policy);
  const unwatch = tls && watchCertificate(tls, listener, context.telemetry);
  return { listener, listen: () => listenOnAll(config, listener), close: () => unwatch?.() };
}

/** The sockets that whoever started the process opened for clients, or else what the setting says. */
export function placesOf({ listen, passed }: Config): readonly ListenPlace[] {
  return passed?.listen === undefined ? listen : passed.listen.map((fd) => ({ fd }));
}

async function listenOnAll(config: Config, listener: Listener): Promise<Addresses> {
  const addresses: Addresses = [];
  try {
    for (const place of placesOf(config))
      addresses.push(await bind("OUTRIGGER_LISTEN", place, () => listener.listen(place)));
  } catch (error) {
    listener.stopListening();
    throw error;
  }
  return addresses;
}

/** @returns stops watching */
function watchCertificate(tls: TlsFiles, listener: Listener, { logger, metrics }: Telemetry): () => void {
  const expiry = metrics.gauge(
    "outrigger_certificate_expiry_timestamp_seconds",
    "When the first certificate of the listener's chain is over",
    [],
    "min",
  )();
  expiry.set(expiryOf(readTlsFiles(tls)));
  return watchTlsFiles(tls, logger, (renewed) => {
    listener.setTls(renewed);
    expiry.set(expiryOf(renewed));
  });
}

function createListener(
  { clock, middleware, telemetry, tracing, requests: recorder, taps }: ProcessContext,
  config: Config,
  tls: TlsFiles | undefined,
  shared: boolean,
  policy: () => RoutedPolicy | undefined,
): Listener {
  const { logger, metrics } = telemetry;
  const { trustedProxies, forwardedField, trustedHops } = config;
  const { listenMode: mode, listenReusePort } = config;
  const listen = { places: placesOf(config), mode, reusePort: listenReusePort === "on", shared };
  const proxyProtocol = config.proxyProtocol === "accept";
  const keepsUnderscores = config.underscoreFields === "keep";
  const withTls = tls === undefined ? {} : { tls: readTlsFiles(tls) };
  const proxies = { trustedProxies, forwardedField, trustedHops, proxyProtocol };
  const seeing = { tracer: tracing?.tracer, recorder, taps };
  const parts = { ...withTls, clock, logger, metrics, ...seeing, middleware, policy };
  return new Listener({ listen, limits: config, ...proxies, keepsUnderscores, ...parts });
}

function tlsFilesOf({ tlsCert, tlsKey, tlsClientCa }: Config): TlsFiles | undefined {
  return tlsCert === undefined || tlsKey === undefined
    ? undefined
    : { cert: tlsCert, key: tlsKey, clientCa: tlsClientCa };
}
