// Opens connections to one upstream (TCP, unix socket, TLS) and maps connect failures to gateway errors.
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
  /** Undefined = in clear. */
  readonly #credentials: Credentials | undefined;
  readonly #rejectUnauthorized: boolean;
  /** The last TLS session: it makes the next handshake shorter. */
  #session: Buffer | undefined;
  /** The context that the session was made with. */
  #sessionContext: SecureContext | undefined;
  readonly #protocol: "http/1.1" | "h2";

  /**
   * @param protocol the one to agree on by ALPN
   * @throws Error if the target's `ca` is not PEM
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

  /** The event by which a socket of `open` becomes ready for use. */
  get readyEvent(): "connect" | "secureConnect" {
    return this.#target.tls ? "secureConnect" : "connect";
  }

  /** The TLS context in force; undefined = in clear. Each renewal of the certificates makes a new one. */
  get secureContext(): SecureContext | undefined {
    return this.#credentials?.secureContext;
  }

  /**
   * @param take gets the received bytes in place of `data` events
   * @param client the client's address, which services with the PROXY protocol get
   */
  open(take: (bytes: Buffer) => void, client?: string): Socket {
    // TLS on top of an open connection cannot read by `onread`.
    if (this.#target.tls && this.#target.proxyProtocol !== undefined)
      return this.openStream(client).on("data", take);
    const end = (): void => void socket.destroy(new Error("its bytes may be lost by a fault of ours"));
    const socket = this.#connect({ onread: readInto(take, end) }, client);
    return socket;
  }

  /** Opens a socket that is read like any stream. */
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
    // The PROXY head comes first, even before TLS.
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
      // An IP address is verified, but must not be sent as a server name (RFC 6066 section 3).
      ...(isIP(servername) === 0 ? { servername } : {}),
      ALPNProtocols: [this.#protocol],
      // A session from before a renewal would stand for the old certificate and the old authorities. If there is a
      // `peer` check, every handshake must show the peer's certificate.
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

/** The certificate is not that of the expected peer. */
export class WrongPeer extends Error {
  override readonly name = "WrongPeer";
}

/** OpenSSL's errors about a certificate chain, as Node names them, and Node's own errors about the host name. */
const certificateFault =
  /^(?:CERT_|CRL_|ERROR_IN_|UNABLE_TO_|DEPTH_ZERO_SELF_SIGNED|SELF_SIGNED_CERT|INVALID_CA$|INVALID_PURPOSE$|PATH_LENGTH_|HOSTNAME_MISMATCH|ERR_TLS_CERT_)/;

/** Maps the failure to open a connection to the error of the exchange that asked for it. */
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
