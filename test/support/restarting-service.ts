// A service of HTTP/1.1, h2c or h2 that dies and comes back on the same port.
import { once } from "node:events";
import http from "node:http";
import http2, { type ServerHttp2Session } from "node:http2";
import type { AddressInfo, Server } from "node:net";

/** Also used for HTTP/2, whose requests and responses have the same interface. */
export type Handle = http.RequestListener;

export interface ServiceTls {
  readonly cert: string;
  readonly key: string;
}

export class RestartingService {
  asked = 0;
  port = 0;
  readonly #protocol: "http1" | "h2c" | "h2";
  readonly #handle: Handle;
  readonly #tls: ServiceTls | undefined;
  readonly #sessions = new Set<ServerHttp2Session>();
  #server: Server | undefined;

  /** @param tls needed for h2 */
  constructor(protocol: "http1" | "h2c" | "h2", handle: Handle, tls?: ServiceTls) {
    this.#protocol = protocol;
    this.#handle = handle;
    this.#tls = tls;
  }

  get url(): string {
    return `${this.#protocol === "h2" ? "https" : "http"}://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const server = this.#make();
    server.on("request", (request, response) => {
      this.asked += 1;
      this.#handle(request, response);
    });
    server.on("session", (session: ServerHttp2Session) => {
      this.#sessions.add(session);
      session.on("error", () => {}).on("close", () => this.#sessions.delete(session));
    });
    server.listen(this.port, "127.0.0.1");
    await once(server, "listening");
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** Stops as a dying process does: open requests are broken off. */
  stop(): void {
    if (this.#server instanceof http.Server) this.#server.closeAllConnections();
    for (const session of this.#sessions) session.destroy();
    this.#server?.close();
    this.#server = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
  }

  #make(): Server {
    if (this.#protocol === "http1") return http.createServer();
    return this.#protocol === "h2c" ? http2.createServer() : http2.createSecureServer({ ...this.#tls });
  }
}
