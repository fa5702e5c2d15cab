// Connects taps with exchanges, on the side of the admin listener and on that of a worker.
import type { TapSource } from "../admin/tap.ts";
import type { Counter, Metrics } from "../plugin-api/services.ts";
import type { OnTapEvent } from "../telemetry/requests/tap-hub.ts";
import { readTapRequest, type TapRequest } from "../telemetry/requests/tap-request.ts";
import type { IpcChannel } from "../workers/ipc-channel.ts";
import type { ToWorker } from "../workers/messages.ts";
import type { Audit } from "./audit.ts";

interface Tappable {
  tap(request: TapRequest, onEvent: OnTapEvent): () => void;
}

export const tapDrops = (metrics: Metrics): ((reason: "rate" | "slow") => Counter) =>
  metrics.counter(
    "outrigger_tap_events_dropped_total",
    "Exchanges that a tap did not show: over its rate, or its reader was too slow and was cut off",
    ["reason"],
  );

export function tapSourceOf(data: Tappable, metrics: Metrics, audit: Pick<Audit, "change">): TapSource {
  return {
    read: readTapRequest,
    start: (query, onEvent) => data.tap(readTapRequest(query), onEvent),
    begun: (filter) => audit.change("tap", { filter }),
    slow: tapDrops(metrics)("slow"),
  };
}

/** The taps that the primary started in this worker. */
export class ToldTaps {
  readonly #ends = new Map<number, () => void>();

  start({ id, request }: Extract<ToWorker, { type: "tap" }>, data: Tappable, channel: IpcChannel): void {
    const end = data.tap(request, (event, dropped) => {
      void channel.send({ type: "tapped", id, event, dropped });
    });
    this.#ends.set(id, end);
  }

  end(id: number): void {
    this.#ends.get(id)?.();
    this.#ends.delete(id);
  }
}
