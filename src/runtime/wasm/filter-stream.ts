// Runs a guest's hooks for one exchange. A guest that failed at an exchange is not asked about it again.
import type {
  Exchange,
  ExchangeResponse,
  MaybePromise,
  Outcome,
  Verdict,
} from "../../plugin-api/contract.ts";
import type { FilterPolicy } from "./filter-policy.ts";
import { GuestStream } from "./guest-stream.ts";
import { askRequest } from "./request-phase.ts";
import { askResponse } from "./response-phase.ts";
import type { Root } from "./root.ts";

export class FilterStream {
  readonly #stream: GuestStream;
  #isOut = false;

  constructor(policy: FilterPolicy, root: Root, exchange: Exchange) {
    this.#stream = new GuestStream(policy, root, exchange);
  }

  request(): MaybePromise<Verdict> {
    try {
      return this.#watched(askRequest(this.#stream));
    } catch (error) {
      this.#isOut = true;
      throw error;
    }
  }

  response(response: ExchangeResponse): MaybePromise<void> {
    if (this.#isOut) return undefined;
    try {
      return this.#watched(askResponse(this.#stream, response));
    } catch (error) {
      this.#isOut = true;
      throw error;
    }
  }

  end(outcome: Outcome): void {
    this.#stream.end(outcome);
  }

  #watched<T>(result: MaybePromise<T>): MaybePromise<T> {
    if (!(result instanceof Promise)) return result;
    return result.catch((error: unknown) => {
      this.#isOut = true;
      throw error;
    });
  }
}
