// The ways in which clients reach a sidecar: plain TCP, TLS, a unix socket. A behaviour tested on one must hold on all
// of them.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { makeCertificate } from "./certificate.ts";
import { rawClient, type RawClient } from "./raw-http.ts";

export interface Front {
  readonly name: string;
  /** Settings that make a sidecar listen in this way. */
  readonly env: Readonly<Record<string, string>>;
  /** @param port of the sidecar, if it listens on a port */
  connect(port: number): Promise<RawClient>;
  /** Removes the files of this front. */
  close(): void;
}

export const frontNames = ["TCP", "TLS", "a unix socket"] as const;

export function makeFront(name: (typeof frontNames)[number]): Front {
  if (name === "TCP") {
    const connect = (port: number): Promise<RawClient> =>
      connected(net.connect({ port, host: "127.0.0.1" }), "connect");
    return { name, env: {}, connect, close: () => {} };
  }
  const folder = mkdtempSync(join(tmpdir(), "outrigger-front-"));
  const close = (): void => rmSync(folder, { recursive: true, force: true });
  if (name === "a unix socket") {
    const path = join(folder, "front.sock");
    const env = { OUTRIGGER_LISTEN: `unix:${path}` };
    return { name, env, connect: () => connected(net.connect({ path }), "connect"), close };
  }
  const { key, cert } = makeCertificate();
  const env = { OUTRIGGER_TLS_CERT: join(folder, "cert.pem"), OUTRIGGER_TLS_KEY: join(folder, "key.pem") };
  writeFileSync(env.OUTRIGGER_TLS_CERT, cert);
  writeFileSync(env.OUTRIGGER_TLS_KEY, key);
  const connect = (port: number): Promise<RawClient> =>
    connected(tls.connect({ port, host: "127.0.0.1", ca: cert }), "secureConnect");
  return { name, env, connect, close };
}

/** Resolves once the event has come; rejects if the connection fails before. */
export async function connected(socket: net.Socket, event: string): Promise<RawClient> {
  await new Promise<void>((resolve, reject) => socket.once(event, resolve).once("error", reject));
  return rawClient(socket);
}
