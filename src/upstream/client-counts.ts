// How many calls of a transport each client of the sidecar has.
import type { Http2Call } from "./http2-call.ts";

/** How many calls each client has; as bounded as the calls are. */
export class ClientCounts {
  readonly #counts = new Map<string, number>();

  of({ request: { client } }: Http2Call): number {
    return client === undefined ? 0 : (this.#counts.get(client) ?? 0);
  }

  add({ request: { client } }: Http2Call, by: 1 | -1): void {
    if (client === undefined) return;
    const count = (this.#counts.get(client) ?? 0) + by;
    if (count > 0) this.#counts.set(client, count);
    else this.#counts.delete(client);
  }
}
