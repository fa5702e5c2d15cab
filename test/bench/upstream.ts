// Program: the service behind every contender. GET answers 300 bytes of JSON, or ?size=N bytes; POST reads the body
// and answers 300 bytes; POST /echo sends the body back chunked; a WebSocket gets its messages back.
import http from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocketServer } from "ws";

const small = Buffer.from(JSON.stringify({ id: 7, text: "x".repeat(300 - '{"id":7,"text":""}'.length) }));
const bodies = new Map<string, Buffer>();

function bodyOf(url: string): Buffer {
  const size = /[?&]size=(\d+)/u.exec(url)?.[1];
  if (size === undefined) return small;
  const body = bodies.get(size) ?? Buffer.alloc(Number(size), "x");
  bodies.set(size, body);
  return body;
}

function answer(request: http.IncomingMessage, response: http.ServerResponse): void {
  const url = request.url ?? "/";
  const body = bodyOf(url);
  const fields: http.OutgoingHttpHeaders = {
    "Content-Type": "application/json",
    "Content-Length": body.length,
  };
  if (url.startsWith("/cacheable")) fields["Cache-Control"] = "public, max-age=600";
  response.writeHead(200, fields).end(body);
}

const server = http.createServer((request, response) => {
  if (request.method === "GET") answer(request, response);
  else if (request.url === "/echo") {
    response.writeHead(200, { "Content-Type": "application/octet-stream" });
    request.pipe(response);
  } else request.resume().once("end", () => answer(request, response));
});
// Longer than any run: how a pool copes with a service that closes connections is not measured here.
server.keepAliveTimeout = 600_000;
new WebSocketServer({ server }).on("connection", (socket) => {
  socket.on("message", (message) => socket.send(message));
  socket.on("error", () => socket.terminate());
});
server.listen(0, "127.0.0.1", () => process.stdout.write(`port ${(server.address() as AddressInfo).port}\n`));
