// What a control plane governs, whichever processes serve.
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

/** What a control plane governs: the data plane of its own process, or the workers. */
export interface DataPlane<Compiled> {
  /** Sets a policy up. Rejects, leaving nothing behind, when that fails. */
  compile(policy: EffectivePolicy, raw: RawPolicy): Promise<Compiled>;
  /** Puts it in force; the one before is closed after its last exchange. */
  swap(compiled: Compiled): void;
  /** Closes one that is not put in force. */
  release(compiled: Compiled): void;
  /** Who may sign from now on, whatever policy is in force. */
  trust(trust: Trust): void;
  /** Live sidecars of the service, this one included. */
  setFleetSize(sidecars: number): void;
  /** Takes these plugins out of their routes' chains, of every policy from now on. */
  switchOff(switches: readonly KillSwitch[]): void;
  /**
   * @param wish what is tried beside the policy in force; undefined = nothing
   * @param candidate undefined = nobody gets it here, and the policy in force is counted
   */
  tryCandidate(wish: TrialWish | undefined, candidate?: BesidePolicy): void;
  /** How that fares; undefined = nothing is tried. */
  trial(): TrialReport | undefined;
  /** @param listener told as soon as a candidate's answers go wrong */
  whenInTrouble(listener: () => void): void;
  /** The level of this process has changed. */
  onLogLevel?(level: string): void;
  /** Of several processes each behaves as if; undefined = that is over. */
  tellDrill?(drill: { readonly fault: string; readonly forMs: number } | undefined): void;
  readonly draining: boolean;
  /** From now on it is not ready, and every response closes its connection. */
  beginDrain(): void;
  /** Whether it serves. */
  check(): Check;
  /** What plugins say is wrong, by name. */
  troubles(): Iterable<[name: string, trouble: string]>;
  /** All metrics, one of each process. */
  metricsSnapshots(): Promise<readonly MetricsSnapshot[]>;
  /** All metrics in the Prometheus text format. @param open in OpenMetrics instead */
  renderMetrics(open?: boolean): Promise<string>;
  /** How the plugins of the policy in force fare. */
  plugins(): Promise<readonly PluginReport[]>;
  /** What is known of requests with this id that are over: `ShownRequest` each. */
  requests(id: string): Promise<readonly unknown[]>;
  /** Shows exchanges as they end. @returns ends it. @throws Error when too many look on */
  tap(request: TapRequest, onEvent: OnTapEvent): () => void;
  /** A plugin's document by its path on the admin listener: JSON. */
  document(path: string): string | undefined | Promise<string | undefined>;
}
