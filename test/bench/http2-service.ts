// Program: the services behind the contenders of http2.ts, in one process: HTTP/1.1 and clear-text HTTP/2, which answer
// with 300 bytes of JSON, and gRPC (@grpc/grpc-js), which sends every message back.
import http from "node:http";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
} from "@grpc/grpc-js";

const body = Buffer.alloc(300, "x");
const fields = { "content-type": "application/json", "content-length": body.length };
const plain = (bytes: Buffer): Buffer => bytes;

const method = (name: string, streams: boolean) => ({
  path: `/bench.Echo/${name}`,
  requestStream: streams,
  responseStream: streams,
  requestSerialize: plain,
  requestDeserialize: plain,
  responseSerialize: plain,
  responseDeserialize: plain,
});

async function listening(server: http.Server | http2.Http2Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

const one = http.createServer((request, response) => {
  request.resume();
  response.writeHead(200, fields).end(body);
});
one.keepAliveTimeout = 600_000;

const two = http2.createServer().on("stream", (stream: http2.ServerHttp2Stream) => {
  stream.respond({ ":status": 200, ...fields });
  stream.end(body);
});

const grpc = new Server();
grpc.addService(
  { Unary: method("Unary", false), Chat: method("Chat", true) },
  {
    Unary: (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) =>
      answer(null, call.request),
    Chat(call: ServerDuplexStream<Buffer, Buffer>) {
      call.on("data", (message: Buffer) => void call.write(message));
      call.on("end", () => call.end());
      call.on("error", () => {});
    },
  },
);
const grpcPort = await new Promise<number>((resolve, reject) =>
  grpc.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
    error === null ? resolve(port) : reject(error),
  ),
);
process.stdout.write(`ports ${await listening(one)} ${await listening(two)} ${grpcPort}\n`);
