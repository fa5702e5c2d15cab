// The fault that a process simulates during a drill. Each process has its own timer, so the drill ends by itself.
import type { Fault } from "./fault.ts";

export class Drill {
  #fault: Fault | undefined;
  #timer: NodeJS.Timeout | undefined;
  #endsMono = 0;
  readonly #listeners = new Set<() => void>();

  get fault(): Fault | undefined {
    return this.#fault;
  }

  /** Milliseconds until the drill ends; 0 = there is no drill. */
  get leftMs(): number {
    return this.#fault === undefined ? 0 : Math.max(1, Math.ceil(this.#endsMono - performance.now()));
  }

  /** Whether Redis appears unreachable. */
  get down(): boolean {
    return this.#fault?.kind === "redis-down";
  }

  /** Delay of Redis' answers in ms. */
  get delayMs(): number {
    return this.#fault?.delayMs ?? 0;
  }

  /** Called before each write to disk. @throws Error like the system's when no space is left */
  readonly checkDisk = (): void => {
    if (this.#fault?.kind !== "disk-full") return;
    throw Object.assign(new Error("ENOSPC: no space left on device (drill: disk-full)"), { code: "ENOSPC" });
  };

  /** Begins a drill, and replaces a running one. */
  begin(fault: Fault, forMs: number): void {
    clearTimeout(this.#timer);
    this.#fault = fault;
    this.#endsMono = performance.now() + forMs;
    this.#timer = setTimeout(() => this.end(), forMs);
    this.#timer.unref();
    this.#tell();
  }

  end(): void {
    clearTimeout(this.#timer);
    if (this.#fault === undefined) return;
    this.#fault = undefined;
    this.#tell();
  }

  /** Ends the drill without a call of the listeners. */
  close(): void {
    clearTimeout(this.#timer);
    this.#listeners.clear();
    this.#fault = undefined;
  }

  /** @param listener called when a drill begins or ends @returns a function that removes it */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
