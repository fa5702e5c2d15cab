// The connections of one plugin's client: kept for the next call, few of them, gone with the plugin.
import http from "node:http";
import https from "node:https";

/** A server that closes idle connections does so later, mostly: Node after 5 seconds. */
const idleMs = 4_000;

const settings = {
  keepAlive: true,
  /** For one host: further calls wait within their time limit. */
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

  /** Those in use break, too. */
  close(): void {
    this.#plain?.destroy();
    this.#tls?.destroy();
    this.#plain = undefined;
    this.#tls = undefined;
  }
}
