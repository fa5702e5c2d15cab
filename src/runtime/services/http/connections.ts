// Keeps the connections of one plugin's client: a few are kept for the next call, and all are closed with the plugin.
import http from "node:http";
import https from "node:https";

/** Shorter than the idle timeout of most servers, so that the client closes first. Node's is 5 seconds. */
const idleMs = 4_000;

const settings = {
  keepAlive: true,
  /** Per host; further calls wait within their time limit. */
  maxSockets: 16,
  maxTotalSockets: 64,
  maxFreeSockets: 4,
  scheduling: "lifo",
  timeout: idleMs,
} as const;

export class Connections {
  #plain: http.Agent | undefined;
  #tls: https.Agent | undefined;

  agent(isTls: boolean): http.Agent | https.Agent {
    return isTls ? (this.#tls ??= new https.Agent(settings)) : (this.#plain ??= new http.Agent(settings));
  }

  /** Closes all connections, including those in use. */
  close(): void {
    this.#plain?.destroy();
    this.#tls?.destroy();
    this.#plain = undefined;
    this.#tls = undefined;
  }
}
