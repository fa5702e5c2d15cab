// Enforces the least rate at which clients take answers. Progress is visible only in steps, since the kernels on both
// sides free their buffers in parts. So a rate is judged only over the time that one step takes at that rate. A client
// that takes nothing meanwhile holds no more than its share.
import type { Socket } from "node:net";
import { IntrusiveSet, type IntrusiveItem } from "../v8/intrusive-set.ts";
import { readUnacknowledged, type Unacknowledged } from "./unacknowledged.ts";

/** How much a client's kernel lets come at once: a segment of the loopback interface, or a part of a large buffer. */
const stepBytes = 65_536;
/** A third of Linux's largest send buffer: the step size where the system does not tell what the kernel holds. */
const blindStepBytes = 1_500_000;
const maxBlindMs = 600_000;
/** Part of the time for one step: nothing is judged while the kernel's buffers may still fill. */
const settlePart = 0.25;
/** The most that both kernels hold: if more has moved, the client has taken some. */
const maxHeldBytes = 16 * 1024 * 1024;
/** Used if any rate is accepted. */
const anyRate = 240;

/** An answer that waits for its client. Only `TakingPace` writes the numbers, which begin at 0, -1 and 0. */
export interface Taker extends IntrusiveItem {
  waitedMs: number;
  takenBefore: number;
  handedBefore: number;
  /** Its connection; null = the connection is gone, or shared. */
  readonly socket: Socket | null;
  /** Other streams share the connection, so the kernel's count is of no use: bytes sent count as taken. */
  readonly shared: boolean;
  /** Bytes that have left this process so far. */
  handed(): number;
  /** Called once, when the client is too slow. */
  tooSlow(): void;
}

export interface TakingLimits {
  /** 0 = any rate is accepted, but a client must take something. */
  readonly minBytesPerSecond: number;
  /** The minimum of how long a client may take nothing. */
  readonly stallMs: number;
}

export class TakingPace {
  readonly #waiting = new IntrusiveSet<Taker>();
  readonly #look: (sockets: readonly Socket[]) => Promise<Unacknowledged>;
  readonly #patienceMs: number;
  readonly #blindPatienceMs: number;
  readonly #minPerMs: number;
  readonly #tickMs: number;
  #timer: NodeJS.Timeout | undefined = undefined;
  #looking = false;

  constructor({ minBytesPerSecond, stallMs }: TakingLimits, look = readUnacknowledged) {
    const perMs = (minBytesPerSecond || anyRate) / 1000;
    this.#look = look;
    this.#patienceMs = Math.max(stallMs, stepBytes / perMs);
    this.#blindPatienceMs = Math.max(this.#patienceMs, Math.min(maxBlindMs, blindStepBytes / perMs));
    this.#minPerMs = minBytesPerSecond / 1000;
    this.#tickMs = Math.min(5_000, Math.max(20, this.#patienceMs / 10));
  }

  /** The client is waited for from now on. */
  watch(each: Taker): void {
    if (each.setIndex !== -1) return;
    this.#waiting.add(each);
    this.#timer ??= setInterval(() => void this.tick(this.#tickMs), this.#tickMs).unref();
  }

  /** The client is no longer waited for. */
  leave(each: Taker): void {
    this.#waiting.delete(each);
  }

  /** Adds `ms` to the wait of all, and judges those that are due. */
  async tick(ms: number): Promise<void> {
    if (this.#waiting.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      return;
    }
    const due: Taker[] = [];
    for (const each of this.#waiting.all()) {
      each.waitedMs += ms;
      if ((each.socket !== null || each.shared) && this.#isDue(each)) due.push(each);
    }
    if (due.length === 0 || this.#looking) return;
    this.#looking = true;
    const unacknowledged = await this.#look(due.flatMap(({ socket }) => socket ?? []));
    this.#looking = false;
    for (const each of due) this.#judge(each, unacknowledged);
  }

  #isDue(each: Taker): boolean {
    if (each.takenBefore === -1) return each.waitedMs >= this.#patienceMs * settlePart;
    if (each.waitedMs < this.#patienceMs) return false;
    const handed = each.handed();
    const surely = handed - each.handedBefore - maxHeldBytes;
    if (surely < this.#minPerMs * each.waitedMs || surely <= 0) return true;
    // Starts over, as if the answer was seen for the first time.
    each.takenBefore = -1;
    each.waitedMs = 0;
    return false;
  }

  #judge(each: Taker, unacknowledged: Unacknowledged): void {
    const { socket } = each;
    // The answer may have ended, or been taken, while the table was read.
    if ((socket === null && !each.shared) || each.setIndex === -1) return;
    const held = socket === null ? 0 : unacknowledged.get(socket);
    const handed = each.handed();
    const taken = handed - (held ?? 0);
    if (each.takenBefore !== -1) {
      if (held === undefined && each.waitedMs < this.#blindPatienceMs) return;
      const moved = taken - each.takenBefore;
      if (moved <= 0 || moved + stepBytes < this.#minPerMs * each.waitedMs) {
        this.leave(each);
        each.tooSlow();
        return;
      }
    }
    each.takenBefore = Math.max(0, taken);
    each.handedBefore = handed;
    each.waitedMs = 0;
  }
}
