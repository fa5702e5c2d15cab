// Probes a service that speaks HTTP/2, on a connection of its own: by a path, or by gRPC's health checking protocol
// (grpc.health.v1.Health/Check).
import http2 from "node:http2";
import { Connector } from "../upstream/connector.ts";
import type { UpstreamTarget } from "../upstream/transport.ts";

export interface ProbeRequest {
  readonly path: string;
  readonly host: string;
  /** Name of the service to ask by gRPC; "" = the whole server. */
  readonly grpcService?: string | undefined;
}

const servingStatuses = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const serving = 1;
/** Limit for an answer: a good one has a prefix of five bytes and two bytes. */
const maxAnswerBytes = 1_024;
const headEnds = http2.constants.NGHTTP2_FLAG_END_STREAM;

/** @param done called once, later: undefined = ready, else why not @returns gives up the probe, with that reason */
export function askHttp2(
  target: UpstreamTarget,
  request: ProbeRequest,
  done: (trouble: string | undefined) => void,
): (reason: string) => void {
  const socket = new Connector(target, "h2").openStream();
  const session = http2.connect(`http://${request.host}`, {
    createConnection: () => socket,
    settings: { enablePush: false },
  });
  let said: string | undefined = "connection lost";
  let isSettled = false;
  const settle = (trouble: string | undefined): void => {
    if (!isSettled) said = trouble;
    isSettled = true;
    session.destroy();
    socket.destroy();
  };
  session.on("error", (error: NodeJS.ErrnoException) => settle(error.code ?? error.message));
  session.once("close", () => done(said));
  const stream = session.request(headOf(request));
  stream.on("error", (error: NodeJS.ErrnoException) => settle(error.code ?? error.message));
  const { grpcService } = request;
  if (grpcService === undefined) {
    stream.once("response", (headers) => {
      const status = Number(headers[":status"]);
      settle(status >= 200 && status < 400 ? undefined : `answers ${status}`);
    });
    stream.end();
  } else {
    readHealth(stream, settle);
    stream.end(messageOf(grpcService));
  }
  return settle;
}

function headOf({ path, host, grpcService }: ProbeRequest): http2.OutgoingHttpHeaders {
  const shared = { ":authority": host, ":scheme": "http", "user-agent": "outrigger-probe" };
  if (grpcService === undefined) return { ...shared, ":path": path };
  const head = { ":method": "POST", ":path": "/grpc.health.v1.Health/Check", te: "trailers" };
  return { ...shared, ...head, "content-type": "application/grpc" };
}

/** Encodes a HealthCheckRequest: field 1 is the service's name. Its length takes one byte or two. */
function messageOf(service: string): Buffer {
  const name = Buffer.from(service);
  const length = name.length < 128 ? [name.length] : [(name.length & 0x7f) | 0x80, name.length >> 7];
  const body = service === "" ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a, ...length]), name]);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(body.length, 1);
  return Buffer.concat([prefix, body]);
}

function readHealth(stream: http2.ClientHttp2Stream, settle: (trouble: string | undefined) => void): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  let fields: http2.IncomingHttpHeaders = {};
  stream.once("response", (headers, flags) => {
    fields = headers;
    const status = Number(headers[":status"]);
    if (status !== 200) settle(`answers ${status}`);
    else if ((flags & headEnds) !== 0) settle(trouble(headers, Buffer.alloc(0)));
  });
  stream.once("trailers", (trailers) => (fields = trailers));
  stream.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > maxAnswerBytes) settle("answers with too much");
  });
  stream.once("end", () => setImmediate(() => settle(trouble(fields, Buffer.concat(chunks)))));
}

/**
 * @param fields include the status of the call
 * @param answer a HealthCheckResponse after its prefix; field 1 is the serving status
 */
function trouble(fields: http2.IncomingHttpHeaders, answer: Buffer): string | undefined {
  const code = fields["grpc-status"] ?? "none";
  if (code !== "0") return `answers grpc-status ${String(code)}`;
  const status = answer[5] === 0x08 ? (answer[6] ?? 0) : 0;
  return status === serving ? undefined : `is ${servingStatuses[status] ?? status}`;
}
