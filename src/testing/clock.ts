// Provides a clock that tests move by hand.
import type { Clock } from "../plugin-api/contract.ts";

/** Starts at 2026-03-10 12:00:00.250 UTC. */
export class TestClock implements Clock {
  epochMs = Date.UTC(2026, 2, 10, 12, 0, 0, 250);
  monoMs = 1_000_000;

  now(): number {
    return this.epochMs;
  }

  mono(): number {
    return this.monoMs;
  }

  advance(ms: number): void {
    this.epochMs += ms;
    this.monoMs += ms;
  }

  /** Moves the wall clock alone, as an operator or NTP would. */
  jump(ms: number): void {
    this.epochMs += ms;
  }
}
