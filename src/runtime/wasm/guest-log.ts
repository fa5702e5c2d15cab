// Writes guests' log lines to the sidecar's log, limited in lines per second and in length.
import type { Clock, Logger } from "../../plugin-api/services.ts";
import { fromBytes } from "./bytes.ts";

const linesASecond = 1_000;
const maxLineLength = 4_096;

export class GuestLog {
  readonly #logger: Logger;
  readonly #clock: Pick<Clock, "mono">;
  #windowBegan = -Infinity;
  #lines = 0;
  #lost = 0;

  constructor(logger: Logger, clock: Pick<Clock, "mono">) {
    this.#logger = logger;
    this.#clock = clock;
  }

  /** @param level of the ABI: 0 = trace … 5 = critical */
  write(level: number, message: string, requestId: string | undefined): void {
    if (!this.#mayWrite()) return;
    const text = fromBytes(message.slice(0, maxLineLength));
    const fields = requestId === undefined ? {} : { requestId };
    if (level <= 1) this.#logger.debug(fields, text);
    else if (level === 2) this.#logger.info(fields, text);
    else if (level === 3) this.#logger.warn(fields, text);
    else this.#logger.error(fields, text);
  }

  /** Writes a line of the host itself about something that the guest did. */
  warn(message: string, requestId: string | undefined): void {
    if (this.#mayWrite()) this.#logger.warn(requestId === undefined ? {} : { requestId }, message);
  }

  lost(lines: number): void {
    this.#lost += lines;
  }

  #mayWrite(): boolean {
    const now = this.#clock.mono();
    if (now - this.#windowBegan >= 1_000) {
      this.#windowBegan = now;
      this.#lines = 0;
      if (this.#lost > 0) this.#logger.warn({ lost: this.#lost }, "lines of a guest's log were left out");
      this.#lost = 0;
    }
    this.#lines += 1;
    if (this.#lines <= linesASecond) return true;
    this.#lost += 1;
    return false;
  }
}
