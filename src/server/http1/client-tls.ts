// Reads and keeps what TLS tells of a client.
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { ClientTls } from "../../plugin-api/contract.ts";
import type { TrustBundles } from "../../tls/trust-bundles.ts";

// Many requests share one handshake: the certificate is unpacked once per connection.
const certificates = new WeakMap<TLSSocket, ClientTls>();
const unverified: ClientTls = { certificate: undefined };

/** The verified client certificate; one that did not verify counts as none. Undefined = no TLS. */
export function clientTlsOf(socket: Socket): ClientTls | undefined {
  return "encrypted" in socket ? (certificates.get(socket as TLSSocket) ?? unverified) : undefined;
}

/** Call after the handshake: only then is `authorized` set. */
export function readClientCertificate(socket: TLSSocket): void {
  const certificate = socket.authorized ? socket.getPeerX509Certificate()?.raw : undefined;
  certificates.set(socket, certificate === undefined ? unverified : { certificate });
}

export function showsCertificate(socket: TLSSocket): boolean {
  return certificates.get(socket)?.certificate !== undefined;
}

/** From now on, the client counts as one that has shown no certificate. */
export function disownCertificate(socket: TLSSocket): void {
  certificates.set(socket, unverified);
}

/** For SPIFFE listeners, after the handshake. A certificate counts only if it is an SVID of a trusted domain. */
export function readClientSvid(socket: TLSSocket, bundles: TrustBundles): void {
  const certificate = socket.authorized ? socket.getPeerX509Certificate() : undefined;
  const svid = certificate && bundles.svidOf(certificate);
  const tls =
    svid === undefined
      ? unverified
      : { certificate: certificate?.raw, svid: { id: svid.text, endsMs: svid.endsMs } };
  certificates.set(socket, tls);
}
