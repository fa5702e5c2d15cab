// A service that decides about requests, for tests.
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";

export interface Asked {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

export interface Decider extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** All questions so far. */
  readonly asked: Asked[];
  readonly connections: number;
  readonly server: http.Server;
}

/** @param answer says what becomes of a question; `response` may be left without an answer */
export async function startDecider(
  answer: (asked: Asked, response: http.ServerResponse) => void,
): Promise<Decider> {
  const asked: Asked[] = [];
  let connections = 0;
  const server = http.createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (chunk: string) => (body += chunk));
    request.on("end", () => {
      const { method, url, headers } = request;
      asked.push({ method, url, headers, body });
      answer({ method, url, headers, body }, response);
    });
  });
  server.on("connection", () => (connections += 1));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/decide`,
    port,
    asked,
    server,
    get connections() {
      return connections;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

export const result = (response: http.ServerResponse, value: unknown): void => {
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify({ result: value }));
};
