// Tracks the connection sent to a worker and not acknowledged yet. node:cluster sends the next one only after that.
import type { Worker } from "node:cluster";

interface Sent {
  /** The sequence number of node:cluster's message. */
  readonly seq: number;
  readonly connection: { close(): void };
}

export class Transit {
  #sent: Sent | undefined;

  /** @param othersAccept returns whether another worker takes connections */
  constructor({ process }: Worker, othersAccept: () => boolean) {
    // Neither the message nor its acknowledgement is public in Node (26.10).
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
    // The process is gone, and all its messages have been received.
    process.once("close", () => {
      const sent = this.#sent;
      this.#sent = undefined;
      if (sent === undefined) return;
      // While the connection is not acknowledged, node:cluster learns neither that the worker is gone nor that it did
      // not take the connection: the client would wait without end.
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
