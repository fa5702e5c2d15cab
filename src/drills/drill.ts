// The fault that a process behaves as if it had, and its end, which needs nobody: each process has its own timer.
import type { Fault } from "./fault.ts";

export class Drill {
  #fault: Fault | undefined;
  #timer: NodeJS.Timeout | undefined;
  #endsMono = 0;
  readonly #listeners = new Set<() => void>();

  get fault(): Fault | undefined {
    return this.#fault;
  }

  /** How long it still goes on; 0 = there is none. */
  get leftMs(): number {
    return this.#fault === undefined ? 0 : Math.max(1, Math.ceil(this.#endsMono - performance.now()));
  }

  /** Whether Redis is out of reach. */
  get down(): boolean {
    return this.#fault?.kind === "redis-down";
  }

  /** By how much later Redis answers. */
  get delayMs(): number {
    return this.#fault?.delayMs ?? 0;
  }

  /** Before whatever is written to disk. @throws Error as the system does where there is no space left */
  readonly checkDisk = (): void => {
    if (this.#fault?.kind !== "disk-full") return;
    throw Object.assign(new Error("ENOSPC: no space left on device (drill: disk-full)"), { code: "ENOSPC" });
  };

  /** In place of one that goes on. */
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

  /** Nobody is told of that end. */
  close(): void {
    clearTimeout(this.#timer);
    this.#listeners.clear();
    this.#fault = undefined;
  }

  /** @param listener told when one begins or ends @returns stops that */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
