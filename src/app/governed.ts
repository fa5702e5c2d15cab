// Defines the interface of a data plane, by which a control plane governs it, whichever processes serve.
import type { Check } from "../admin/readiness.ts";
import type { KillSwitch } from "../kill-switch/kill-switch.ts";
import type { BesidePolicy } from "../policy/beside.ts";
import type { EffectivePolicy, RawPolicy } from "../policy/read.ts";
import type { Trust } from "../policy/signature/key-sets.ts";
import type { PluginReport } from "../runtime/plugin-report.ts";
import type { MetricsSnapshot } from "../telemetry/metrics.ts";
import type { OnTapEvent } from "../telemetry/requests/tap-hub.ts";
import type { TapRequest } from "../telemetry/requests/tap-request.ts";
import type { TrialReport, TrialWish } from "./policy-trial.ts";

/** What a control plane governs: the data plane of its own process, or all workers as one. */
export interface DataPlane<Compiled> {
  /** Sets a policy up. Rejects, leaving nothing behind, when that fails. */
  compile(policy: EffectivePolicy, raw: RawPolicy): Promise<Compiled>;
  /** Puts a policy in force; the previous one is closed after its last exchange. */
  swap(compiled: Compiled): void;
  /** Closes a policy that does not come into force. */
  release(compiled: Compiled): void;
  /** Sets the keys that may sign from now on, whatever policy is in force. */
  trust(trust: Trust): void;
  /** @param sidecars number of live sidecars of the service, including this one */
  setFleetSize(sidecars: number): void;
  /** Takes these plugins out of their routes' chains, for the policy in force and later ones. */
  switchOff(switches: readonly KillSwitch[]): void;
  /**
   * @param wish what to try beside the policy in force; undefined = nothing
   * @param candidate undefined = nobody gets the candidate here, and only the policy in force is counted
   */
  tryCandidate(wish: TrialWish | undefined, candidate?: BesidePolicy): void;
  /** State of the trial; undefined = nothing is tried. */
  trial(): TrialReport | undefined;
  /** @param listener called as soon as a candidate's answers go wrong */
  whenInTrouble(listener: () => void): void;
  /** Called when the log level of this process has changed. */
  onLogLevel?(level: string): void;
  /** With several processes: tells each to start the drill; undefined = the drill is over. */
  tellDrill?(drill: { readonly fault: string; readonly forMs: number } | undefined): void;
  readonly draining: boolean;
  /** From now on the sidecar is not ready, and every response closes its connection. */
  beginDrain(): void;
  /** The check that it serves. */
  check(): Check;
  /** What plugins report as wrong, by plugin name. */
  troubles(): Iterable<[name: string, trouble: string]>;
  /** All metrics, one snapshot per process. */
  metricsSnapshots(): Promise<readonly MetricsSnapshot[]>;
  /** All metrics in the Prometheus text format. @param open true = OpenMetrics instead */
  renderMetrics(open?: boolean): Promise<string>;
  /** State of the plugins of the policy in force. */
  plugins(): Promise<readonly PluginReport[]>;
  /** Ended requests with this id: each is a `ShownRequest`. */
  requests(id: string): Promise<readonly unknown[]>;
  /** Shows exchanges as they end. @returns ends the tap @throws Error when there are too many taps */
  tap(request: TapRequest, onEvent: OnTapEvent): () => void;
  /** A plugin's document (JSON), by its path on the admin listener. */
  document(path: string): string | undefined | Promise<string | undefined>;
}
