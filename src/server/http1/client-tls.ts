// What TLS tells of a client.
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { ClientTls } from "../../plugin-api/contract.ts";
import type { TrustBundles } from "../../tls/trust-bundles.ts";

// One handshake, many requests: the certificate is unpacked once a connection.
const certificates = new WeakMap<TLSSocket, ClientTls>();
const unverified: ClientTls = { certificate: undefined };

/** The verified client certificate, as which one that did not verify does not count; undefined = no TLS. */
export function clientTlsOf(socket: Socket): ClientTls | undefined {
  return "encrypted" in socket ? (certificates.get(socket as TLSSocket) ?? unverified) : undefined;
}

/** After the handshake, to which `authorized` belongs. */
export function readClientCertificate(socket: TLSSocket): void {
  const certificate = socket.authorized ? socket.getPeerX509Certificate()?.raw : undefined;
  certificates.set(socket, certificate === undefined ? unverified : { certificate });
}

export function showsCertificate(socket: TLSSocket): boolean {
  return certificates.get(socket)?.certificate !== undefined;
}

/** From now on the client is one that has shown none. */
export function disownCertificate(socket: TLSSocket): void {
  certificates.set(socket, unverified);
}

/** For listeners of SPIFFE, after the handshake: a certificate that is no SVID, or of no domain that counts, does not either. */
export function readClientSvid(socket: TLSSocket, bundles: TrustBundles): void {
  const certificate = socket.authorized ? socket.getPeerX509Certificate() : undefined;
  const svid = certificate && bundles.svidOf(certificate);
  const tls =
    svid === undefined
      ? unverified
      : { certificate: certificate?.raw, svid: { id: svid.text, endsMs: svid.endsMs } };
  certificates.set(socket, tls);
}
