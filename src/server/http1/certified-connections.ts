// Tracks connections whose clients have shown a valid certificate. OpenSSL checks revocation lists and authorities only
// in the handshake. After a renewal, clients that are now revoked, or that no authority vouches for, lose their
// identity and have to reconnect.
import type { TLSSocket } from "node:tls";
import type { Logger } from "../../plugin-api/telemetry.ts";
import { chainOf, type Revocations } from "../../tls/revocations.ts";
import type { TrustBundles } from "../../tls/trust-bundles.ts";
import { disownCertificate, readClientCertificate, readClientSvid, showsCertificate } from "./client-tls.ts";

/** The checks that client certificates must pass beyond the handshake. */
export interface ClientChecks {
  readonly revocations: Revocations | undefined;
  /** Undefined = certificates need not be SVIDs. */
  readonly bundles: TrustBundles | undefined;
}

export class CertifiedConnections {
  readonly #open = new Set<TLSSocket>();
  #checks: ClientChecks;
  /** The lists have been renewed: earlier handshakes used the lists of the start. */
  #isRenewed = false;

  constructor({ revocations, bundles }: ClientChecks = { revocations: undefined, bundles: undefined }) {
    this.#checks = { revocations, bundles };
  }

  /** Registers a connection after its handshake, which may have begun before a renewal. */
  add(socket: TLSSocket): void {
    const { revocations, bundles } = this.#checks;
    if (bundles === undefined) readClientCertificate(socket);
    else readClientSvid(socket, bundles);
    if (revocations === undefined && bundles?.federates !== true) return;
    if (!showsCertificate(socket) || (this.#isRenewed && this.#isNobody(socket))) return;
    this.#open.add(socket);
    socket.once("close", () => this.#open.delete(socket));
  }

  /** Applies new checks. @returns connections whose certificates are no longer valid, also for exchanges in flight */
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
