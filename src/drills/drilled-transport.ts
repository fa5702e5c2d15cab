// Refuses connections to an upstream while a drill says so.
import { GatewayError } from "../plugin-api/errors.ts";
import type {
  OwnConnectionHandler,
  OwnRequest,
  TransportCounts,
  UpstreamCall,
  UpstreamHandler,
  UpstreamRequest,
  UpstreamTransport,
} from "../upstream/transport.ts";
import type { Drill } from "./drill.ts";

export class DrilledTransport implements UpstreamTransport {
  readonly #transport: UpstreamTransport;
  readonly #drill: Drill;

  constructor(transport: UpstreamTransport, drill: Drill) {
    this.#transport = transport;
    this.#drill = drill;
  }

  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall {
    if (this.#drill.fault?.kind !== "upstream-down") return this.#transport.send(request, handler);
    const abort = refuse(handler);
    return { write: () => true, end: nothing, resume: nothing, abort };
  }

  openOwn(request: OwnRequest, handler: OwnConnectionHandler): () => void {
    if (this.#drill.fault?.kind !== "upstream-down") return this.#transport.openOwn(request, handler);
    return refuse(handler);
  }

  counts(): TransportCounts {
    return this.#transport.counts();
  }

  close(): void {
    this.#transport.close();
  }
}

function nothing(): void {}

/** Reports the refusal in a later turn. @returns a function that cancels the report */
function refuse(handler: Pick<UpstreamHandler, "onFail">): () => void {
  const telling = setImmediate(() =>
    handler.onFail(
      new GatewayError("upstream_refused", "The service refused the connection.", {
        cause: new Error("drill: upstream-down"),
      }),
    ),
  );
  return () => clearImmediate(telling);
}
