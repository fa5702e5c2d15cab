// The least rate at which clients take answers. What they take shows in steps (the kernels on both sides make room by
// parts of their buffers), so that a rate can only be judged over the time that one step takes at that rate. Whoever takes
// nothing meanwhile holds no more than his share.
import type { Socket } from "node:net";
import { IntrusiveSet, type IntrusiveItem } from "../v8/intrusive-set.ts";
import { readUnacknowledged, type Unacknowledged } from "./unacknowledged.ts";

/** What a client's kernel lets come at once: a segment of the loopback interface, or a part of a large buffer. */
const stepBytes = 65_536;
/** A third of Linux's largest send buffer: the step where the system does not tell what the kernel holds. */
const blindStepBytes = 1_500_000;
const maxBlindMs = 600_000;
/** Of the time that a step may take: so long the kernel's buffers may fill before anything is judged. */
const settlePart = 0.25;
/** What both kernels hold at most: whoever has moved more has taken some. */
const maxHeldBytes = 16 * 1024 * 1024;
/** Where any rate will do. */
const anyRate = 240;

/** An answer that waits for its client. The list alone writes the numbers, which begin at 0, -1 and 0. */
export interface Taker extends IntrusiveItem {
  waitedMs: number;
  takenBefore: number;
  handedBefore: number;
  /** Its connection; null = it has none any more, or others share it. */
  readonly socket: Socket | null;
  /** Others share its connection, and tell nothing of it: what its client takes is what it lets be sent. */
  readonly shared: boolean;
  /** Bytes that have left this process so far. */
  handed(): number;
  /** Called once. */
  tooSlow(): void;
}

export interface TakingLimits {
  /** 0 = any rate, but not none. */
  readonly minBytesPerSecond: number;
  /** How long a client may take nothing, at least. */
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

  /** Somebody else is waited for, or nobody. */
  leave(each: Taker): void {
    this.#waiting.delete(each);
  }

  /** All have waited for so long. Looks at those whose time has come. */
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
    // As if it was seen now for the first time.
    each.takenBefore = -1;
    each.waitedMs = 0;
    return false;
  }

  #judge(each: Taker, unacknowledged: Unacknowledged): void {
    const { socket } = each;
    // It may have ended, or taken everything, while the table was read.
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
