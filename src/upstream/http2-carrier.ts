// One connection of HTTP/2 to an upstream, with what it carries.
import http2, { type ClientHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { SecureContext, TLSSocket } from "node:tls";
import { ResetBudget } from "../http2/reset-budget.ts";
import { GatewayError } from "../plugin-api/errors.ts";
import { connectFailure } from "./connector.ts";
import type { Http2Call } from "./http2-call.ts";

/** Of one connection, where the service allows as many. */
export const maxStreams = 100;
/** Below what services of Node and Go put up with: a burst of 1,000, and 33 a second. */
const resets = { burst: 500, perSecond: 16 };
const windowBytes = 1_048_576;

// `strictSingleValueFields` is not in Node's types of a client (26): fields that clients send twice go on as they are.
const sessionOptions: http2.ClientSessionOptions & { readonly strictSingleValueFields: boolean } = {
  settings: { enablePush: false, initialWindowSize: windowBytes },
  maxSessionMemory: 64,
  // Bounded in bytes; beyond a count of 128 node:http2 would refuse heads.
  maxHeaderListPairs: 1_000,
  strictSingleValueFields: false,
};

export interface Carrier {
  readonly session: ClientHttp2Session;
  /** Whose exchanges it carries; undefined = anybody's. */
  readonly origin: string | undefined;
  /** What it was made with; undefined = in clear. */
  readonly secureContext: SecureContext | undefined;
  readonly resets: ResetBudget;
  readonly calls: Set<Http2Call>;
  ready: boolean;
  /** No further exchange goes there. */
  leaving: boolean;
  /** Ends it while it carries nothing. */
  idle: NodeJS.Timeout | undefined;
  /** Until it has to show that it lives; armed while it comes to be, and while it carries something. */
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

/** Why a connection never came to be. @param cause undefined = it ended by itself */
export function openFailure(cause: NodeJS.ErrnoException | undefined): GatewayError {
  return cause === undefined || cause.code?.startsWith("ERR_HTTP2") === true
    ? new GatewayError("upstream_invalid_response", "The service does not speak HTTP/2.", { cause })
    : connectFailure(cause);
}

export function streamsOf({ session }: Carrier): number {
  return Math.min(maxStreams, session.remoteSettings?.maxConcurrentStreams ?? maxStreams);
}

/** Whether an exchange of that origin can begin there now. */
export function isFree(carrier: Carrier, origin: string | undefined): boolean {
  const { session, calls, ready, leaving } = carrier;
  if (!ready || leaving || session.closed || session.destroyed || carrier.origin !== origin) return false;
  return calls.size < streamsOf(carrier);
}
