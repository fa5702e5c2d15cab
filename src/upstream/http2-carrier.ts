// One HTTP/2 connection to an upstream, with the calls that it carries.
import http2, { type ClientHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { SecureContext, TLSSocket } from "node:tls";
import { ResetBudget } from "../http2/reset-budget.ts";
import { GatewayError } from "../plugin-api/errors.ts";
import { connectFailure } from "./connector.ts";
import type { Http2Call } from "./http2-call.ts";

/** The ping interval of a connection with running exchanges. */
const pingEveryMs = 15_000;
const defaultPingLimitMs = 5_000;
/** Streams per connection, if the service allows as many. */
export const maxStreams = 100;
/** Below what services in Node and Go accept: a burst of 1,000, and 33 per second. */
const resets = { burst: 500, perSecond: 16 };
const windowBytes = 1_048_576;

// `strictSingleValueFields` is missing in Node's client types (26). False: fields that clients send twice may pass.
const sessionOptions: http2.ClientSessionOptions & { readonly strictSingleValueFields: boolean } = {
  settings: { enablePush: false, initialWindowSize: windowBytes },
  maxSessionMemory: 64,
  // Heads are bounded in bytes. By default, node:http2 would refuse heads with more than 128 fields.
  maxHeaderListPairs: 1_000,
  strictSingleValueFields: false,
};

export interface Carrier {
  readonly session: ClientHttp2Session;
  /** The only client whose exchanges it carries; undefined = any client's. */
  readonly origin: string | undefined;
  /** The TLS context it was made with; undefined = in clear. */
  readonly secureContext: SecureContext | undefined;
  readonly resets: ResetBudget;
  readonly calls: Set<Http2Call>;
  ready: boolean;
  /** It takes no further exchange. */
  leaving: boolean;
  /** The timer that ends it while it carries nothing. */
  idle: NodeJS.Timeout | undefined;
  /** The timer until the connection has to show that it lives; armed while it opens and while it carries something. */
  ping: NodeJS.Timeout | undefined;
}

export function carrierOver(
  socket: Socket,
  origin: string | undefined,
  secureContext: SecureContext | undefined,
): Carrier {
  const session = http2.connect("http://upstream", {
    ...sessionOptions,
    createConnection: () => socket,
  });
  // The session ends its side once it carries nothing. A service that does not end its own must not keep the place.
  socket.once("finish", () => socket.destroy());
  socket.once("secureConnect", () => {
    if ((socket as TLSSocket).alpnProtocol !== "h2") session.destroy();
  });
  return {
    session,
    origin,
    secureContext,
    resets: new ResetBudget(resets, performance.now()),
    calls: new Set(),
    ready: false,
    leaving: false,
    idle: undefined,
    ping: undefined,
  };
}

/** The error of a connection that failed to open. @param cause undefined = it ended by itself */
export function openFailure(cause: NodeJS.ErrnoException | undefined): GatewayError {
  return cause === undefined || cause.code?.startsWith("ERR_HTTP2") === true
    ? new GatewayError("upstream_invalid_response", "The service does not speak HTTP/2.", { cause })
    : connectFailure(cause);
}

export function streamsOf({ session }: Carrier): number {
  return Math.min(maxStreams, session.remoteSettings?.maxConcurrentStreams ?? maxStreams);
}

/** Whether exchanges of that origin can start on the connection, now or once it is ready and has room. */
export function mayTake(carrier: Carrier, origin: string | undefined): boolean {
  const { session, leaving } = carrier;
  return !leaving && !session.closed && !session.destroyed && carrier.origin === origin;
}

/** Whether an exchange of that origin can start on the connection now. */
export function isFree(carrier: Carrier, origin: string | undefined): boolean {
  return carrier.ready && mayTake(carrier, origin) && carrier.calls.size < streamsOf(carrier);
}

/**
 * Pings the service: one that vanished silently must not hold all its exchanges until their own time limits.
 * @param limitMs how long the connection may take to answer
 */
export function ping(carrier: Carrier, limitMs = defaultPingLimitMs): void {
  const { session } = carrier;
  clearTimeout(carrier.ping);
  carrier.ping = undefined;
  if (session.destroyed || session.closed) return;
  const limit = setTimeout(() => session.destroy(), limitMs).unref();
  const sent = session.ping((error) => {
    clearTimeout(limit);
    if (error === null && carrier.calls.size > 0) pingLater(carrier, limitMs);
  });
  // Enough pings are in flight already.
  if (!sent) clearTimeout(limit);
}

/** Pings the service at the next interval. */
export function pingLater(carrier: Carrier, limitMs = defaultPingLimitMs): void {
  carrier.ping ??= setTimeout(() => ping(carrier, limitMs), pingEveryMs).unref();
}
