// What TLS tells of a client.
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { ClientTls } from "../../plugin-api/contract.ts";

// One handshake, many requests: the certificate is unpacked once a connection.
const certificates = new WeakMap<TLSSocket, ClientTls>();

/** The verified client certificate, as which one that did not verify does not count; undefined = no TLS. */
export function clientTlsOf(socket: Socket): ClientTls | undefined {
  return "encrypted" in socket ? readOnce(socket as TLSSocket) : undefined;
}

function readOnce(socket: TLSSocket): ClientTls {
  let tls = certificates.get(socket);
  if (tls === undefined) {
    tls = { certificate: socket.authorized ? socket.getPeerX509Certificate()?.raw : undefined };
    certificates.set(socket, tls);
  }
  return tls;
}
