// Opens connections to one upstream (TCP, unix socket, TLS) and says what a failure to open one means.
import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from "node:net";
import {
  connect as connectTls,
  type ConnectionOptions,
  createSecureContext,
  type PeerCertificate,
  type SecureContext,
} from "node:tls";
import { lookupOpen } from "../language/closed-addresses.ts";
import { GatewayError } from "../plugin-api/errors.ts";
import { readInto } from "../http1/read-buffer.ts";
import type { Credentials } from "./renewed-credentials.ts";
import { proxyHead } from "./proxy-head.ts";
import type { UpstreamTarget } from "./transport.ts";

export class Connector {
  readonly #target: UpstreamTarget;
  /** Undefined = none, in clear. */
  readonly #credentials: Credentials | undefined;
  readonly #rejectUnauthorized: boolean;
  /** The last TLS session: the next handshake is shorter with it. */
  #session: Buffer | undefined;
  /** What that session was made with. */
  #sessionContext: SecureContext | undefined;
  readonly #protocol: "http/1.1" | "h2";

  /**
   * @param protocol what is agreed on under TLS
   * @throws Error when the target's `ca` is not PEM
   */
  constructor(target: UpstreamTarget, protocol: "http/1.1" | "h2" = "http/1.1") {
    this.#protocol = protocol;
    const { tls, tlsOptions } = target;
    this.#target = target;
    this.#credentials = tls
      ? (tlsOptions?.credentials ?? { secureContext: createSecureContext({ ca: tlsOptions?.ca }) })
      : undefined;
    this.#rejectUnauthorized = tlsOptions?.rejectUnauthorized ?? true;
  }

  /** The event that says a socket of `open` is ready for use. */
  get readyEvent(): "connect" | "secureConnect" {
    return this.#target.tls ? "secureConnect" : "connect";
  }

  /** What TLS shows and believes now; undefined = in clear. Another one from each renewal on. */
  get secureContext(): SecureContext | undefined {
    return this.#credentials?.secureContext;
  }

  /**
   * @param take gets what is received, in place of `data` events
   * @param client whose connection it is, where the service is told
   */
  open(take: (bytes: Buffer) => void, client?: string): Socket {
    // TLS on a connection that is open already has no such way of reading.
    if (this.#target.tls && this.#target.proxyProtocol !== undefined)
      return this.openStream(client).on("data", take);
    const end = (): void => void socket.destroy(new Error("its bytes may be lost by a fault of ours"));
    const socket = this.#connect({ onread: readInto(take, end) }, client);
    return socket;
  }

  /** A socket that is read as any stream. */
  openStream(client?: string): Socket {
    return this.#connect({}, client);
  }

  #connect(reading: { readonly onread?: OnReadOpts }, client: string | undefined): Socket {
    const { host, port, socketPath, proxyProtocol } = this.#target;
    const place =
      socketPath === undefined
        ? { host, port, noDelay: true, lookup: lookupOpen, ...reading }
        : { path: socketPath, ...reading };
    const secureContext = this.#credentials?.secureContext;
    if (proxyProtocol === undefined)
      return secureContext === undefined ? connectTcp(place) : this.#secure(place, secureContext);
    const plain = connectTcp(place);
    // Goes first, before TLS, too.
    plain.write(proxyHead(proxyProtocol, client));
    return secureContext === undefined ? plain : this.#secure({ socket: plain, host }, secureContext);
  }

  #secure(place: ConnectionOptions, secureContext: SecureContext): Socket {
    const { host, tlsOptions, servername: named = host } = this.#target;
    const { servername = named, peer } = tlsOptions ?? {};
    const socket = connectTls({
      ...place,
      secureContext,
      rejectUnauthorized: this.#rejectUnauthorized,
      // An address is verified as such, but must not be sent as a server name (RFC 6066 section 3).
      ...(isIP(servername) === 0 ? { servername } : {}),
      ALPNProtocols: [this.#protocol],
      // One of before a renewal would stand for the old certificate, and for what is believed no more. A peer shows
      // itself each time.
      session: this.#sessionContext === secureContext && peer === undefined ? this.#session : undefined,
      ...(peer && { checkServerIdentity: (_host: string, { raw }: PeerCertificate) => peer.fault(raw) }),
    });
    socket.on("session", (session) => {
      this.#session = session;
      this.#sessionContext = secureContext;
    });
    return socket;
  }
}

/** The other end is not who it should be. */
export class WrongPeer extends Error {
  override readonly name = "WrongPeer";
}

/** OpenSSL's findings about a chain, by the names that Node gives them, and Node's own about a host. */
const certificateFault =
  /^(?:CERT_|CRL_|ERROR_IN_|UNABLE_TO_|DEPTH_ZERO_SELF_SIGNED|SELF_SIGNED_CERT|INVALID_CA$|INVALID_PURPOSE$|PATH_LENGTH_|HOSTNAME_MISMATCH|ERR_TLS_CERT_)/;

/** What a connection that never came to be means for the exchange that asked for it. */
export function connectFailure(cause: NodeJS.ErrnoException | undefined): GatewayError {
  if (cause instanceof WrongPeer || certificateFault.test(cause?.code ?? ""))
    return new GatewayError("upstream_certificate", "The service's certificate is not good.", { cause });
  switch (cause?.code) {
    case "ECONNREFUSED":
    case "ENOENT":
      return new GatewayError("upstream_refused", "The service refused the connection.", { cause });
    case "ETIMEDOUT":
      return connectTimeout(cause);
    case "ECONNRESET":
    case "EPIPE":
    case undefined:
      return new GatewayError("upstream_reset", "The service closed the connection.", { cause });
    default:
      return new GatewayError("upstream_unavailable", "The service could not be reached.", { cause });
  }
}

export function connectTimeout(cause?: unknown): GatewayError {
  return new GatewayError("upstream_connect_timeout", "No connection to the service was to be had in time.", {
    cause,
  });
}
