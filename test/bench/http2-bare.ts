// Program: the smallest HTTP/2 forwarder over node:http2, so that http2.ts can tell which part of the sidecar's cost is
// the library's. `node http2-bare.ts PORT`, with the port of the service.
import http2 from "node:http2";
import type { AddressInfo } from "node:net";

const service = http2.connect(`http://127.0.0.1:${process.argv[2]}`);
const server = http2.createServer().on("stream", (stream: http2.ServerHttp2Stream, headers) => {
  const call = service.request(headers);
  call.on("response", (head) => {
    stream.respond(head, { waitForTrailers: true });
    call.on("data", (bytes: Buffer) => void stream.write(bytes));
  });
  let trailers: http2.IncomingHttpHeaders = {};
  call.on("trailers", (got) => (trailers = got));
  call.on("end", () => stream.end());
  stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  stream.on("data", (bytes: Buffer) => void call.write(bytes));
  stream.on("end", () => call.end());
  for (const each of [call, stream]) each.on("error", () => {});
});
server.listen(0, "127.0.0.1", () => {
  process.stdout.write(`port ${(server.address() as AddressInfo).port}\n`);
});
