// The connection that a worker was sent and has not taken yet. node:cluster sends it the next one when it has.
import type { Worker } from "node:cluster";

interface Sent {
  /** Of node:cluster's message. */
  readonly seq: number;
  readonly connection: { close(): void };
}

export class Transit {
  #sent: Sent | undefined;

  /** @param othersAccept whether another worker takes connections */
  constructor({ process }: Worker, othersAccept: () => boolean) {
    // Neither the message nor its answer is public in Node (26.10).
    const send = process.send.bind(process) as (...args: unknown[]) => boolean;
    const watched = (message: unknown, handle?: unknown, ...rest: unknown[]): boolean => {
      const { act, seq } = message as { readonly act?: unknown; readonly seq: number };
      if (act === "newconn") this.#sent = { seq, connection: handle as Sent["connection"] };
      return send(message, handle, ...rest);
    };
    process.send = watched;
    process.on("internalMessage", ({ ack }: { readonly ack?: number }) => {
      if (ack === this.#sent?.seq) this.#sent = undefined;
    });
    // The process is gone, and whatever it said has been heard.
    process.once("close", () => {
      const sent = this.#sent;
      this.#sent = undefined;
      if (sent === undefined) return;
      // As long as the connection is not acknowledged, node:cluster does not learn that the worker is gone, nor that it
      // did not take it: the client would wait for ever.
      process.emit("disconnect");
      if (othersAccept())
        process.emit("internalMessage", { cmd: "NODE_CLUSTER", ack: sent.seq, accepted: false });
      else sent.connection.close();
    });
  }

  get pending(): boolean {
    return this.#sent !== undefined;
  }
}
