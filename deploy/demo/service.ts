// A small service to run behind the sidecar: it shows the request it received, serves a catalogue that may be cached,
// and a stream of events. To run it alone: `node deploy/demo/service.ts [host] [port]`.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";

const eventEveryMs = 1000;

function sendEvents(response: ServerResponse): void {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  let count = 0;
  const send = (): void => void response.write(`data: ${++count}\n\n`);
  const timer = setInterval(send, eventEveryMs);
  response.once("close", () => clearInterval(timer));
  send();
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const { method, url = "/", headers } = request;
  request.resume();
  if (url === "/events") {
    sendEvents(response);
    return;
  }
  response.setHeader("Content-Type", "application/json");
  response.setHeader("X-Powered-By", "sample");
  if (url.startsWith("/catalog")) response.setHeader("Cache-Control", "max-age=10");
  response.end(
    `${JSON.stringify({ answeredAt: new Date().toISOString(), method, url, headers }, null, 2)}\n`,
  );
}

export function createSampleService(): Server {
  return createServer(answer);
}

if (import.meta.main) {
  const [host = "127.0.0.1", port = "3000"] = process.argv.slice(2);
  const service = createSampleService().listen(Number(port), host, () =>
    process.stdout.write(`sample service on http://${host}:${port}\n`),
  );
  process.once("SIGTERM", () => {
    service.close();
    service.closeAllConnections();
  });
}
