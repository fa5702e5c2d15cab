// Builds the answer that a guest gives in place of the service (`proxy_send_local_response`).
import type { ExchangeResponse, RespondVerdict } from "../../plugin-api/contract.ts";
import type { EffectParts } from "./answer.ts";
import { fromBytes } from "./bytes.ts";
import { answerFields } from "./field-rules.ts";

export interface LocalReply extends RespondVerdict {
  readonly fields: readonly string[];
  readonly body: Buffer;
  /** The reason, for the access log. */
  readonly details: string;
}

/** gRPC statuses for HTTP statuses, by gRPC's own table. */
const grpcStatuses: Readonly<Record<number, number>> = {
  400: 13,
  401: 16,
  403: 7,
  404: 12,
  429: 14,
  502: 14,
  503: 14,
  504: 14,
};

/**
 * @param parts status, details, gRPC status, flat fields, body
 * @param isGrpc whether the client speaks gRPC: such a client reads only the gRPC status
 * @throws Error when the status is not one of a final response
 */
export function localReply(parts: EffectParts, isGrpc: boolean): LocalReply {
  const [status = "", details = "", grpcStatus = "", flat = "", bytes = ""] = parts;
  const code = Number(status);
  if (!(code >= 200 && code <= 599)) throw new Error(`it answered with the status ${status}, which is none`);
  const fields = answerFields(flat === "" ? [] : flat.split("\0"));
  const reason = fromBytes(details);
  if (isGrpc) return grpcReply(code, Number(grpcStatus), fields, bytes, reason);
  const isTyped = fields.some((name, index) => index % 2 === 0 && name.toLowerCase() === "content-type");
  if (bytes !== "" && !isTyped) fields.push("content-type", "text/plain");
  return { action: "respond", status: code, fields, body: Buffer.from(bytes, "latin1"), details: reason };
}

function grpcReply(
  code: number,
  own: number,
  fields: string[],
  message: string,
  details: string,
): LocalReply {
  const status = own >= 0 ? own : (grpcStatuses[code] ?? (code === 200 ? 0 : 2));
  const text = encodeURIComponent(fromBytes(message).slice(0, 1_024));
  const flat = [
    ...fields.filter((_, index) => fields[index - (index % 2)]?.toLowerCase() !== "content-type"),
    "content-type",
    "application/grpc",
    "grpc-status",
    String(status),
    ...(text === "" ? [] : ["grpc-message", text]),
  ];
  return { action: "respond", status: 200, fields: flat, body: Buffer.alloc(0), details };
}

/** Replaces a response that has already arrived. */
export function replaceResponse(response: ExchangeResponse, { status, fields, body }: LocalReply): void {
  response.status = status;
  response.fields.deleteWhere(() => true);
  for (let i = 0; i + 1 < fields.length; i += 2) {
    response.fields.append(fields[i] as string, fields[i + 1] as string);
  }
  response.replaceBody(body);
}
