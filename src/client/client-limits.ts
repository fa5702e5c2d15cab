// The limits on what clients may cost, each and together. Made once, and shared by every exchange.
import { ClientBudget } from "./client-budget.ts";
import { Lingering } from "./lingering.ts";
import { Pace } from "./pace.ts";
import { TakingPace } from "./taking-pace.ts";

export interface ClientLimitOptions {
  /** 0 = unlimited. */
  readonly maxBodyBytes: number;
  /** How long a client may send nothing of an awaited body. For taking nothing of an answer, it is the minimum. */
  readonly clientStallMs: number;
  /** 0 = any rate. */
  readonly minBytesPerSecond: number;
  readonly bufferBytes: number;
  /** Percent of each budget that one client address may have. */
  readonly clientShare: number;
}

export class ClientLimits {
  readonly maxBodyBytes: number;
  readonly stallMs: number;
  /** The least rate of bodies from clients. */
  readonly pace: Pace;
  /** The least rate at which clients take answers. */
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
