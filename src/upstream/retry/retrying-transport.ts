// The transport of a route with `retry`. Other routes use their transport directly.
import { fieldOf } from "../../http2/fields.ts";
import { isIdempotent } from "../../http1/head-writer.ts";
import { isGrpcType } from "../../plugin-api/grpc-type.ts";
import type {
  OwnConnectionHandler,
  OwnRequest,
  TransportCounts,
  UpstreamCall,
  UpstreamHandler,
  UpstreamRequest,
  UpstreamTransport,
} from "../transport.ts";
import type { RetryParts } from "./parts.ts";
import { RetriedCall } from "./retried-call.ts";

export class RetryingTransport implements UpstreamTransport {
  readonly #parts: RetryParts;

  constructor(parts: RetryParts) {
    this.#parts = parts;
  }

  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
    const { retries, budget, transport } = this.#parts;
    const { method, fields } = request;
    // RFC 9110 section 9.2.2. A service recognises a repeated request by its key
    // (draft-ietf-httpapi-idempotency-key-header).
    const isRepeatable = isIdempotent(method) || (fieldOf(fields, "idempotency-key") ?? "") !== "";
    const isGrpc = isGrpcType(fieldOf(fields, "content-type"));
    if (!isRepeatable && !isGrpc) return transport.send(request, handler);
    budget.asked(retries.time.mono());
    const call = new RetriedCall(this.#parts, request, handler, { isRepeatable, isGrpc });
    call.start();
    return call;
  }

  openOwn(request: OwnRequest, handler: OwnConnectionHandler): () => void {
    return this.#parts.transport.openOwn(request, handler);
  }

  counts(): TransportCounts {
    return this.#parts.transport.counts();
  }

  close(): void {
    this.#parts.transport.close();
  }
}
