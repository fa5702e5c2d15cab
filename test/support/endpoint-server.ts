// An HTTP server that answers as the test says and counts its requests.
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";

export class EndpointServer {
  asked = 0;
  /** Number of open connections. */
  connections = 0;
  readonly #server: http.Server;

  constructor(handle: http.RequestListener) {
    this.#server = http.createServer((request, response) => {
      this.asked += 1;
      handle(request, response);
    });
    this.#server.on("connection", (socket) => {
      this.connections += 1;
      socket.once("close", () => (this.connections -= 1));
    });
  }

  async listen(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
