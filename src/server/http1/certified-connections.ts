// Connections whose clients have shown a certificate that counts. OpenSSL looks at revocation lists in the handshake alone:
// when they are renewed, who is named by them is nobody any more, and is to connect anew.
import type { TLSSocket } from "node:tls";
import type { Logger } from "../../plugin-api/telemetry.ts";
import { chainOf, type Revocations } from "../../tls/revocations.ts";
import { disownCertificate, showsCertificate } from "./client-tls.ts";

export class CertifiedConnections {
  readonly #open = new Set<TLSSocket>();
  /** Of the last renewal; undefined = every handshake was by those of the start. */
  #revocations: Revocations | undefined;

  /** After the handshake, which may have begun before a renewal. */
  add(socket: TLSSocket): void {
    if (!showsCertificate(socket) || this.#isRevoked(socket)) return;
    this.#open.add(socket);
    socket.once("close", () => this.#open.delete(socket));
  }

  /** @returns connections whose certificates are named by these lists: they count no more, for nothing that runs there either */
  revoke(revocations: Revocations, logger: Logger): TLSSocket[] {
    this.#revocations = revocations;
    const revoked = [...this.#open].filter((socket) => this.#isRevoked(socket));
    for (const socket of revoked) this.#open.delete(socket);
    const connections = revoked.length;
    if (connections > 0)
      logger.info({ connections }, "connections end whose client certificates are revoked");
    return revoked;
  }

  #isRevoked(socket: TLSSocket): boolean {
    if (this.#revocations?.names(chainOf(socket.getPeerX509Certificate())) !== true) return false;
    disownCertificate(socket);
    return true;
  }
}
