// Recognises gRPC-Web calls to services that speak gRPC.
import type { Inbound } from "../../exchange/context.ts";
import { GrpcWebStream } from "./stream.ts";

const webType = /^application\/grpc-web(-text)?((?:\+[a-z0-9.-]+)?[ \t]*(?:;.*)?)$/i;

/**
 * Turns a gRPC-Web call into the gRPC call that it stands for.
 * @param protocol of the service: one that speaks only HTTP/1.1 gets the call unchanged and must know gRPC-Web itself
 * @returns the request unchanged if it is no gRPC-Web call
 */
export function withoutGrpcWeb(inbound: Inbound, protocol: string = "http1"): Inbound {
  const { head, stream } = inbound;
  if (protocol === "http1" || head.method !== "POST") return inbound;
  const { fields } = head;
  const [whole, text, suffix] = webType.exec(fields.get("content-type") ?? "") ?? [];
  if (whole === undefined) return inbound;
  const hasBody = head.body !== "none";
  const accepted = /application\/grpc-web(-text)?/i.exec(fields.get("accept") ?? "");
  const responseIsText = (accepted === null ? text : accepted[1]) !== undefined;
  fields.set("Content-Type", `application/grpc${suffix}`);
  for (const name of ["accept", "content-length", "x-grpc-web"]) fields.delete(name);
  return {
    ...inbound,
    received: stream,
    head: { ...head, body: hasBody ? "chunked" : "none", contentLength: 0 },
    stream: new GrpcWebStream(stream, { requestIsText: hasBody && text !== undefined, responseIsText }),
  };
}
