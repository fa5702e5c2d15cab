// TLS on the admin listener, beside clear text: for the service's other sidecars, who are known by the SPIFFE id that they have
// in common. A connection is one of TLS by its first byte (RFC 8446 section 5.1); probes and scrapers go on in clear.
import { constants, type X509Certificate } from "node:crypto";
import type { Server } from "node:http";
import type { Socket } from "node:net";
import tls, { type SecureContextOptions, type TLSSocket } from "node:tls";
import { isGone } from "../client/gone.ts";

/** What siblings show each other and believe, from one renewal to the next. */
export interface SiblingTls {
  /** Of all of them. */
  readonly id: string;
  /** In PEM. */
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  /** @returns epoch milliseconds at which a certificate that has been verified is over; undefined = it is no sibling's */
  endOf(certificate: X509Certificate): number | undefined;
}

/** Every handshake looks anew: none is resumed. */
export function contextOf({ cert, key, ca }: SiblingTls): SecureContextOptions {
  return { cert, key, ca, minVersion: "TLSv1.3", secureOptions: constants.SSL_OP_NO_TICKET };
}

const handshakeByte = 0x16;
const firstByteMs = 5_000;
/** Who asks waits no longer. */
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

  /** Takes over the connections of a server whose clients are bounded already. */
  constructor(server: Server, current: () => SiblingTls) {
    this.#server = server;
    this.#current = current;
    const [own] = server.listeners("connection") as [(this: Server, socket: Socket) => void];
    server.removeListener("connection", own);
    this.#serve = (socket) => own.call(server, socket);
    server.on("connection", (socket: Socket) => this.#accept(socket));
  }

  /** Whether it has proved to be one, by what counts now: not by authorities, or an id, of before. */
  isSibling(socket: Socket): boolean {
    const shown = this.#shown.get(socket);
    return shown !== undefined && shown.to === this.#current() && Date.now() < shown.endsMs;
  }

  /** Ends connections that have said nothing. */
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
    // Nothing to answer has come, and nothing will.
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
    // A server for each renewal: what a client has proved belongs to what it was checked by.
    if (this.#handshakes?.by !== by) this.#handshakes = { by, server: this.#createServer(by) };
    this.#handshakes.server.emit("connection", socket);
  }

  #createServer(by: SiblingTls): tls.Server {
    const options = { ...contextOf(by), ALPNProtocols: ["http/1.1"], handshakeTimeout: handshakeMs };
    // Nobody else has a reason to speak TLS here.
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
