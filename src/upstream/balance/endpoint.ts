// One address behind an upstream, with its connections and its health.
import type { UpstreamTarget, UpstreamTransport } from "../transport.ts";

export class Endpoint {
  readonly target: UpstreamTarget;
  readonly zone: string | undefined;
  readonly transport: UpstreamTransport;
  /** Exchanges in flight. */
  inFlight = 0;
  /** The result of its health checks; true until they say otherwise. */
  healthy = true;
  /** Left out for a while because it failed too often. */
  ejected = false;
  /** Failures in a row. */
  failures = 0;
  /** Ejections without a healthy period in between. */
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

  /** Whether it gets requests while there are other endpoints. */
  get up(): boolean {
    return this.healthy && !this.ejected;
  }
}
