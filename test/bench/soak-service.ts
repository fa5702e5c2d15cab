// Program: the service behind a soaked sidecar. The path decides whether it answers well, late, in pieces, not at all,
// or breaks off; a WebSocket gets its messages back.
import http from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocketServer } from "ws";

const large = Buffer.alloc(512 * 1024, "x");

const answers: Readonly<
  Record<string, (request: http.IncomingMessage, response: http.ServerResponse) => void>
> = {
  "/cacheable": (_request, response) => {
    response
      .writeHead(200, { "Cache-Control": "max-age=2", Vary: "Accept-Language" })
      .end("kept for a while");
  },
  "/large": (_request, response) => void response.end(large),
  "/events": (_request, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    const timer = setInterval(() => response.write("data: 1\n\n"), 50);
    response.once("close", () => clearInterval(timer));
    setTimeout(() => response.end(), 500).unref();
  },
  "/echo": (request, response) => void request.pipe(response),
  "/never": () => {},
  "/breaks": (_request, response) => {
    response.write("half");
    setImmediate(() => response.destroy());
  },
  "/hangs-up": (request) => void request.socket.destroy(),
  "/early": (_request, response) => void response.end("no need for your body"),
};

const server = http.createServer((request, response) => {
  const path = (request.url ?? "/").replace(/^\/api/, "").split("?", 1)[0] as string;
  request.on("error", () => {});
  const answer = answers[path];
  if (answer !== undefined) answer(request, response);
  else request.resume().once("end", () => response.end("ok"));
});
new WebSocketServer({ server }).on("connection", (socket) => {
  socket.on("message", (message) => socket.send(message)).on("error", () => socket.terminate());
});
server.listen(0, "127.0.0.1", () => process.stdout.write(`port ${(server.address() as AddressInfo).port}\n`));
