// One address behind an upstream: its connections, and what is known of how it does.
import type { UpstreamTarget, UpstreamTransport } from "../transport.ts";

export class Endpoint {
  readonly target: UpstreamTarget;
  readonly zone: string | undefined;
  readonly transport: UpstreamTransport;
  /** Exchanges that it has now. */
  inFlight = 0;
  /** By its health checks; until they say otherwise, it is. */
  healthy = true;
  /** Left out for a while because of what it answered. */
  ejected = false;
  /** In a row. */
  failures = 0;
  /** How often it was ejected without a good time in between. */
  ejections = 0;
  returnedMono = 0;
  lastEjectionMs = 0;
  cancelReturn: (() => void) | undefined = undefined;

  constructor(target: UpstreamTarget, zone: string | undefined, transport: UpstreamTransport) {
    this.target = target;
    this.zone = zone;
    this.transport = transport;
  }

  get name(): string {
    return this.target.name;
  }

  /** Whether it is asked while there are others. */
  get up(): boolean {
    return this.healthy && !this.ejected;
  }
}
