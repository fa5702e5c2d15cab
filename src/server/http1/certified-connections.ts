// Connections whose clients have shown a certificate that counts. OpenSSL looks at revocation lists and authorities in the
// handshake alone: when they are renewed, who is named by a list, or vouched for by nobody, is nobody any more, and is to
// connect anew.
import type { TLSSocket } from "node:tls";
import type { Logger } from "../../plugin-api/telemetry.ts";
import { chainOf, type Revocations } from "../../tls/revocations.ts";
import type { TrustBundles } from "../../tls/trust-bundles.ts";
import { disownCertificate, readClientCertificate, readClientSvid, showsCertificate } from "./client-tls.ts";

/** What certificates of clients are held to, beside the handshake. */
export interface ClientChecks {
  readonly revocations: Revocations | undefined;
  /** Undefined = they need be no SVIDs. */
  readonly bundles: TrustBundles | undefined;
}

export class CertifiedConnections {
  readonly #open = new Set<TLSSocket>();
  #checks: ClientChecks;
  /** Every handshake before was by the lists of the start. */
  #isRenewed = false;

  constructor({ revocations, bundles }: ClientChecks = { revocations: undefined, bundles: undefined }) {
    this.#checks = { revocations, bundles };
  }

  /** After the handshake, which may have begun before a renewal. */
  add(socket: TLSSocket): void {
    const { revocations, bundles } = this.#checks;
    if (bundles === undefined) readClientCertificate(socket);
    else readClientSvid(socket, bundles);
    if (revocations === undefined && bundles?.federates !== true) return;
    if (!showsCertificate(socket) || (this.#isRenewed && this.#isNobody(socket))) return;
    this.#open.add(socket);
    socket.once("close", () => this.#open.delete(socket));
  }

  /** @returns connections whose certificates count no more by these, for nothing that runs there either */
  renew({ revocations, bundles }: ClientChecks, logger: Logger): TLSSocket[] {
    this.#checks = { revocations, bundles };
    this.#isRenewed = true;
    const ending = [...this.#open].filter((socket) => this.#isNobody(socket));
    for (const socket of ending) this.#open.delete(socket);
    const connections = ending.length;
    if (connections > 0)
      logger.info(
        { connections },
        bundles === undefined
          ? "connections end whose client certificates are revoked"
          : "connections end whose clients' trust domains vouch for them no more",
      );
    return ending;
  }

  #isNobody(socket: TLSSocket): boolean {
    const { revocations, bundles } = this.#checks;
    const certificate = socket.getPeerX509Certificate();
    const counts =
      revocations?.names(chainOf(certificate)) !== true &&
      (bundles === undefined || (certificate !== undefined && bundles.svidOf(certificate) !== undefined));
    if (!counts) disownCertificate(socket);
    return !counts;
  }
}
