// What clients may cost, one by one and together: made once, shared by every exchange.
import { ClientBudget } from "./client-budget.ts";
import { Lingering } from "./lingering.ts";
import { Pace } from "./pace.ts";
import { TakingPace } from "./taking-pace.ts";

export interface ClientLimitOptions {
  /** 0 = unlimited. */
  readonly maxBodyBytes: number;
  /** How long a client may neither send an awaited body nor, at least, take anything of a waiting answer. */
  readonly clientStallMs: number;
  /** 0 = any rate. */
  readonly minBytesPerSecond: number;
  readonly bufferBytes: number;
  /** Percent of what there is that one client address may have. */
  readonly clientShare: number;
}

export class ClientLimits {
  readonly maxBodyBytes: number;
  readonly stallMs: number;
  /** Of bodies that clients send. */
  readonly pace: Pace;
  /** Of answers that they take. */
  readonly taking: TakingPace;
  readonly buffers: ClientBudget;
  readonly lingering = new Lingering();

  constructor(options: ClientLimitOptions) {
    this.maxBodyBytes = options.maxBodyBytes;
    this.stallMs = options.clientStallMs;
    this.pace = new Pace(options.minBytesPerSecond);
    const { minBytesPerSecond, clientStallMs: stallMs } = options;
    this.taking = new TakingPace({ minBytesPerSecond, stallMs });
    this.buffers = new ClientBudget(options.bufferBytes, options.clientShare / 100);
  }
}
