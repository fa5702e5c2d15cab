// Creates the transport of an upstream for the HTTP version that it speaks.
import { fieldOf } from "../http2/fields.ts";
import { isGrpcType } from "../plugin-api/grpc-type.ts";
import { createHttp2Transport } from "./http2-transport.ts";
import { createPooledTransport, type PoolOptions } from "./pooled-transport.ts";
import type {
  OwnConnectionHandler,
  OwnRequest,
  TransportCounts,
  UpstreamCall,
  UpstreamHandler,
  UpstreamRequest,
  UpstreamTarget,
  UpstreamTransport,
} from "./transport.ts";

/** @throws Error if the target's `ca` is not PEM */
export function createTransport(target: UpstreamTarget, options: PoolOptions): UpstreamTransport {
  const { protocol = "http1" } = target;
  if (protocol === "auto") return new ByContent(target, options);
  return (protocol === "http1" ? createPooledTransport : createHttp2Transport)(target, options);
}

/** Sends gRPC over HTTP/2, and the rest over HTTP/1.1. */
class ByContent implements UpstreamTransport {
  readonly #http1: UpstreamTransport;
  readonly #http2: UpstreamTransport;

  constructor(target: UpstreamTarget, options: PoolOptions) {
    this.#http1 = createPooledTransport(target, options);
    this.#http2 = createHttp2Transport(target, options);
  }

  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
    return (isGrpcType(fieldOf(request.fields, "content-type")) ? this.#http2 : this.#http1).send(
      request,
      handler,
    );
  }

  openOwn(request: OwnRequest, handler: OwnConnectionHandler): () => void {
    return this.#http1.openOwn(request, handler);
  }

  counts(): TransportCounts {
    const [one, two] = [this.#http1.counts(), this.#http2.counts()];
    return {
      active: one.active + two.active,
      idle: one.idle + two.idle,
      queued: one.queued + two.queued,
      upgraded: one.upgraded + two.upgraded,
    };
  }

  close(): void {
    this.#http1.close();
    this.#http2.close();
  }
}
