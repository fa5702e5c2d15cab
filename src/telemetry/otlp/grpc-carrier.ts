// Sends requests to a collector over gRPC: one unary call each, on one HTTP/2 session that is reopened when it ends.
import http2 from "node:http2";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { type Carrier, type CarrierOptions, type Delivery, maxResponseBytes } from "./delivery.ts";

const compress = promisify(gzip);
const prefixBytes = 5;
/** CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS: the protocol asks for a retry. */
const retried = new Set(["1", "4", "10", "11", "14", "15"]);

export function createGrpcCarrier(options: CarrierOptions): Carrier {
  let session: http2.ClientHttp2Session | undefined;
  const open = (): http2.ClientHttp2Session => {
    if (session !== undefined && !session.closed && !session.destroyed) return session;
    session = http2.connect(options.url.origin, { ...options.tls, settings: { enablePush: false } });
    // Without a listener an error would end the process; the call in progress gets the error itself.
    session.on("error", () => {});
    session.unref();
    return session;
  };
  return {
    async send(body) {
      try {
        return await call(open(), options, await framed(body, options.gzip));
      } catch (error) {
        return { outcome: "retry", reason: reasonOf(error) };
      }
    },
    close: () => session?.destroy(),
  };
}

/** A stream's error has the connection's error as its cause, which says more. */
function reasonOf(error: unknown): string {
  const { cause = error } = Object(error) as Error;
  const { code, message } = Object(cause) as NodeJS.ErrnoException;
  return code ?? message ?? "failed";
}

/** Adds gRPC's prefix: whether the message is compressed, and its length. */
async function framed(body: Buffer, isCompressed: boolean): Promise<Buffer> {
  const message = isCompressed ? await compress(body, { level: 1 }) : body;
  const prefix = Buffer.alloc(prefixBytes);
  prefix[0] = isCompressed ? 1 : 0;
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function call(
  session: http2.ClientHttp2Session,
  options: CarrierOptions,
  message: Buffer,
): Promise<Delivery> {
  const { promise, resolve, reject } = Promise.withResolvers<Delivery>();
  const stream = session.request({
    ...options.headers,
    ":method": "POST",
    ":path": options.grpcPath,
    "content-type": "application/grpc",
    te: "trailers",
    "grpc-timeout": `${options.timeoutMs}m`,
    ...(options.gzip && { "grpc-encoding": "gzip" }),
  });
  const chunks: Buffer[] = [];
  let length = 0;
  let last: http2.IncomingHttpHeaders = {};
  const limit = setTimeout(() => {
    stream.close(http2.constants.NGHTTP2_CANCEL);
    // The connection itself may be dead, so it is closed as well.
    session.destroy();
    reject(new Error(`no answer within ${options.timeoutMs} ms`));
  }, options.timeoutMs);
  stream.on("response", (headers) => (last = headers));
  stream.on("trailers", (trailers) => (last = trailers));
  stream.on("data", (chunk: Buffer) => {
    length += chunk.length;
    if (length <= maxResponseBytes) chunks.push(chunk);
    else stream.close(http2.constants.NGHTTP2_CANCEL);
  });
  stream.once("error", reject);
  stream.once("close", () => {
    clearTimeout(limit);
    if (length > maxResponseBytes) reject(new Error(`an answer of over ${maxResponseBytes} bytes`));
    resolve(deliveryOf(last, Buffer.concat(chunks)));
  });
  stream.end(message);
  return promise;
}

function deliveryOf(headers: http2.IncomingHttpHeaders, body: Buffer): Delivery {
  const status = headers["grpc-status"];
  if (status === "0") return { outcome: "taken", reason: "OK", response: body.subarray(prefixBytes) };
  if (typeof status !== "string") {
    return { outcome: "retry", reason: `no gRPC status (HTTP status ${String(headers[":status"])})` };
  }
  const outcome = retried.has(status) ? "retry" : "refused";
  return { outcome, reason: `gRPC status ${/^\d{1,3}$/.test(status) ? status : "malformed"}` };
}
