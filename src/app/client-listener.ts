// Creates the listener for clients from the settings: its addresses, whom it trusts, its certificate.
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import type { Config } from "../config/config.ts";
import { CountedExchanges } from "../drills/counted-exchanges.ts";
import { bind } from "../config/start-error.ts";
import type { RoutedPolicy } from "../routing/routed-policy.ts";
import { Listener, type ListenerTls } from "../server/listener.ts";
import type { ListenPlace } from "../server/listening-sockets.ts";
import { readTlsFiles, type TlsContent, type TlsFiles } from "../server/tls-files.ts";
import { readSvidChain } from "../tls/svid.ts";
import { expiryGauge, expiryOf, watchFiles } from "../tls/watched-files.ts";
import type { Telemetry } from "../telemetry/process.ts";
import type { ProcessContext } from "./process-context.ts";

/** The sidecar's addresses, in the order of the setting. */
export type Addresses = (AddressInfo | string)[];

export interface ClientListener {
  readonly listener: Listener;
  /** Rejects with StartError, without listening anywhere, when an address cannot be bound. */
  listen(): Promise<Addresses>;
  close(): void;
}

/**
 * @param shared whether other processes accept connections on the same sockets
 * @throws Error when a file that the settings name cannot be read
 */
export function createClientListener(
  context: ProcessContext,
  config: Config,
  shared: boolean,
  policy: () => RoutedPolicy | undefined,
): ClientListener {
  const files = tlsFilesOf(config);
  const content = files && readTlsFiles(files);
  const tls = content && {
    content,
    // An SVID names no host, so unknown SNI names cannot be refused.
    refusesUnknown: config.tlsUnknownSni === "refuse" && files.trustDomain === undefined,
  };
  const listener = createListener(context, config, tls, shared, policy);
  const unwatch = files && content && watchCertificates(files, content, listener, context.telemetry);
  return { listener, listen: () => listenOnAll(config, listener), close: () => unwatch?.() };
}

/** Sockets that the parent process opened for clients, else the addresses of the setting. */
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
function watchCertificates(
  files: TlsFiles,
  current: TlsContent,
  listener: Listener,
  { logger, metrics }: Telemetry,
): () => void {
  const expiry = expiryGauge(metrics, "listener");
  expiry.set(expiryOf(current.chains));
  const tell = (faults: readonly string[]): void => {
    if (faults.length > 0)
      logger.warn({ faults }, "bundles of other trust domains are not taken: these domains vouch for nobody");
  };
  tell(current.faults);
  const watched = {
    of: "listener",
    read: () => readTlsFiles(files),
    fingerprint: ({ fingerprint }: TlsContent) => fingerprint,
    apply(renewed: TlsContent) {
      listener.setTls(renewed);
      expiry.set(expiryOf(renewed.chains));
      tell(renewed.faults);
    },
  };
  return watchFiles(current, watched, logger);
}

function createListener(
  { clock, middleware, telemetry, tracing, requests: recorder, taps: looking, drill }: ProcessContext,
  config: Config,
  tls: ListenerTls | undefined,
  shared: boolean,
  policy: () => RoutedPolicy | undefined,
): Listener {
  const { logger, metrics } = telemetry;
  const { trustedProxies, forwardedField, trustedHops } = config;
  const { listenMode: mode, listenReusePort } = config;
  const listen = { places: placesOf(config), mode, reusePort: listenReusePort === "on", shared };
  const proxyProtocol = config.proxyProtocol === "accept";
  const keepsUnderscores = config.underscoreFields === "keep";
  const proxies = { trustedProxies, forwardedField, trustedHops, proxyProtocol };
  const taps = drill === undefined ? looking : new CountedExchanges(drill, looking, metrics);
  const seeing = { tracer: tracing?.tracer, recorder, taps };
  // Middleware of http-proxy works on messages of node:http.
  const own = config.listener !== "node" && middleware === undefined;
  const parts = { own, tls, clock, logger, metrics, ...seeing, middleware, policy };
  return new Listener({ listen, limits: config, ...proxies, keepsUnderscores, ...parts });
}

function tlsFilesOf(config: Config): TlsFiles | undefined {
  const { tlsCert, tlsKey, tlsClientCa: clientCa, tlsClientCrl: clientCrl } = config;
  const { spiffeCert, spiffeKey, spiffeBundle } = config;
  const minVersion = config.tlsMinVersion === "1.3" ? "TLSv1.3" : "TLSv1.2";
  if (spiffeCert !== undefined && spiffeKey !== undefined) {
    const trustDomain = readSvidChain(readFileSync(spiffeCert, "utf8"))?.trustDomain;
    const pairs = [{ cert: spiffeCert, key: spiffeKey }];
    const federatedBundles = config.spiffeFederatedBundles;
    return { pairs, clientCa: spiffeBundle, clientCrl: undefined, minVersion, trustDomain, federatedBundles };
  }
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  const pairs = tlsCert.map((cert, at) => ({ cert, key: tlsKey[at] as string }));
  return { pairs, clientCa, clientCrl, minVersion };
}
