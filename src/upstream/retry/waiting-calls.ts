// Holds requests while their service refuses connections, since a restarting service is back in a moment. One
// connection at a time checks whether it is back, however many requests wait.
import type { GatewayError } from "../../plugin-api/errors.ts";
import { type Claimant, countOf } from "../shares.ts";
import type { UpstreamTransport } from "../transport.ts";
import { isAbsence } from "./rules.ts";
import type { Time } from "../time.ts";

export interface WaitingCall extends Claimant {
  /** When it has waited long enough, on the monotonic clock. */
  readonly waitsUntil: number;
  /** The service takes connections again. */
  serviceIsBack(): void;
  waitedInVain(error: GatewayError): void;
}

const maxWaiting = 1_024;
/** One client may take at most half of the places. */
const maxOfOne = maxWaiting / 2;
const everyMs = 50;
const connectLimitMs = 1_000;

export class WaitingCalls {
  readonly #transport: UpstreamTransport;
  readonly #time: Time;
  readonly #waiting = new Set<WaitingCall>();
  #failure: GatewayError | undefined = undefined;
  #stop: (() => void) | undefined = undefined;

  constructor(transport: UpstreamTransport, time: Time) {
    this.#transport = transport;
    this.#time = time;
  }

  /** The failure by which the service was found absent; undefined = it is not known to be absent. */
  get absence(): GatewayError | undefined {
    return this.#failure;
  }

  /** @param failure the one that shows that the service is absent @returns false = there is no room */
  add(call: WaitingCall, failure: GatewayError): boolean {
    const waiting = this.#waiting;
    if (waiting.size >= maxWaiting) return false;
    const { client } = call;
    if (client !== undefined && waiting.size >= maxOfOne && countOf(waiting, client) >= maxOfOne)
      return false;
    waiting.add(call);
    if (waiting.size === 1) {
      this.#failure = failure;
      this.#later();
    }
    return true;
  }

  remove(call: WaitingCall): void {
    if (this.#waiting.delete(call) && this.#waiting.size === 0) this.#end();
  }

  #later(): void {
    this.#stop = this.#time.after(everyMs, () => this.#look());
  }

  #look(): void {
    this.#endWaits();
    if (this.#waiting.size === 0) return;
    this.#stop = this.#transport.openOwn(
      { client: undefined, connectTimeoutMs: connectLimitMs },
      {
        onReady: (socket) => {
          socket.on("error", () => {}).destroy();
          this.#back();
        },
        onFail: (error) => {
          if (!isAbsence(error.code)) return this.#back();
          this.#failure = error;
          this.#later();
        },
      },
    );
  }

  #endWaits(): void {
    const now = this.#time.mono();
    for (const call of this.#waiting) {
      if (call.waitsUntil > now) continue;
      const failure = this.#failure as GatewayError;
      this.remove(call);
      call.waitedInVain(failure);
    }
  }

  /** Releases all calls. Their own requests will show what answers there now. */
  #back(): void {
    const calls = [...this.#waiting];
    this.#waiting.clear();
    this.#end();
    for (const call of calls) call.serviceIsBack();
  }

  #end(): void {
    this.#stop?.();
    this.#stop = undefined;
    this.#failure = undefined;
  }
}
