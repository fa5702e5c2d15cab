// Adds TLS to the admin listener, beside clear text, for the service's other sidecars: all share one SPIFFE id. The
// first byte of a connection tells TLS from clear text (RFC 8446 section 5.1); probes and scrapers stay in clear.
import { constants, type X509Certificate } from "node:crypto";
import type { Server } from "node:http";
import type { Socket } from "node:net";
import tls, { type SecureContextOptions, type TLSSocket } from "node:tls";
import { isGone } from "../client/gone.ts";

/** What a sidecar shows to siblings and trusts, until the next renewal. */
export interface SiblingTls {
  /** The SPIFFE id that all siblings share. */
  readonly id: string;
  /** In PEM. */
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  /** @returns when a verified certificate expires, epoch milliseconds; undefined = it is not a sibling's */
  endOf(certificate: X509Certificate): number | undefined;
}

/** No session tickets: every handshake checks the certificates anew. */
export function contextOf({ cert, key, ca }: SiblingTls): SecureContextOptions {
  return { cert, key, ca, minVersion: "TLSv1.3", secureOptions: constants.SSL_OP_NO_TICKET };
}

const handshakeByte = 0x16;
const firstByteMs = 5_000;
/** The asking side does not wait longer either. */
const handshakeMs = 2_000;

interface Shown {
  readonly to: SiblingTls;
  readonly endsMs: number;
}

export class SiblingDoor {
  readonly #server: Server;
  readonly #current: () => SiblingTls;
  readonly #serve: (socket: Socket) => void;
  readonly #silent = new Set<Socket>();
  readonly #shown = new WeakMap<Socket, Shown>();
  #handshakes: { readonly by: SiblingTls; readonly server: tls.Server } | undefined = undefined;

  /** Takes over the connections of a server whose clients are bounded already (see boundClients). */
  constructor(server: Server, current: () => SiblingTls) {
    this.#server = server;
    this.#current = current;
    const [own] = server.listeners("connection") as [(this: Server, socket: Socket) => void];
    server.removeListener("connection", own);
    this.#serve = (socket) => own.call(server, socket);
    server.on("connection", (socket: Socket) => this.#accept(socket));
  }

  /** Whether the peer has proved to be a sibling under the current authorities and id, not under former ones. */
  isSibling(socket: Socket): boolean {
    const shown = this.#shown.get(socket);
    return shown !== undefined && shown.to === this.#current() && Date.now() < shown.endsMs;
  }

  /** Closes connections that have sent nothing yet. */
  close(): void {
    for (const socket of this.#silent) socket.destroy();
  }

  #accept(socket: Socket): void {
    if (socket.destroyed) return;
    this.#silent.add(socket);
    const limit = setTimeout(() => socket.destroy(), firstByteMs);
    const forget = (): void => {
      clearTimeout(limit);
      this.#silent.delete(socket);
    };
    // The client ended without sending anything, so there is nothing to answer.
    const ended = (): void => void socket.end();
    const look = (): void => {
      const bytes = socket.read() as Buffer | null;
      if (bytes === null) return;
      forget();
      socket.off("readable", look).off("close", forget).off("end", ended).off("error", forget);
      socket.unshift(bytes);
      if (bytes[0] === handshakeByte) this.#handshake(socket);
      else this.#serve(socket);
    };
    socket.on("readable", look).on("close", forget).on("end", ended).on("error", forget);
  }

  #handshake(socket: Socket): void {
    const by = this.#current();
    // One TLS server per renewal: a client's proof is valid only for the authorities that checked it.
    if (this.#handshakes?.by !== by) this.#handshakes = { by, server: this.#createServer(by) };
    this.#handshakes.server.emit("connection", socket);
  }

  #createServer(by: SiblingTls): tls.Server {
    const options = { ...contextOf(by), ALPNProtocols: ["http/1.1"], handshakeTimeout: handshakeMs };
    // Only siblings have a reason to speak TLS here, so a client certificate is required.
    const server = tls.createServer({ ...options, requestCert: true, rejectUnauthorized: true });
    server.on("tlsClientError", (_error, socket) => socket.destroy());
    server.on("secureConnection", (socket) => this.#admit(socket, by));
    return server;
  }

  #admit(socket: TLSSocket, to: SiblingTls): void {
    if (!this.#server.listening || isGone(socket)) {
      socket.destroy();
      return;
    }
    const certificate = socket.getPeerX509Certificate();
    const endsMs = certificate && to.endOf(certificate);
    if (endsMs !== undefined) this.#shown.set(socket, { to, endsMs });
    this.#serve(socket);
  }
}
