// Holds the compiled policy in force and renews it under new secrets: the same policy is set up again and swapped in.
// If that fails, the current set-up stays in use, with its old secrets.
import { isDeepStrictEqual } from "node:util";
import type { LiveSecrets, SecretGeneration, SecretValues } from "./live-secrets.ts";
import { nothingOff, type SwitchedOff } from "../kill-switch/kill-switch.ts";
import type { Secrets } from "../plugin-api/services.ts";
import type { EffectivePolicy } from "../policy/read.ts";
import type { PolicyTrial } from "../routing/policy-trial.ts";
import type { RoutedPolicy } from "../routing/routed-policy.ts";
import type { PluginReport } from "../runtime/plugin-report.ts";
import { releaseMemory } from "../v8/release-memory.ts";

/** A policy with this many routes takes tens of MiB. */
const manyRoutes = 1_000;

const isLarge = ({ snapshot }: RoutedPolicy): boolean => snapshot.routes.length >= manyRoutes;

interface Origin {
  readonly policy: EffectivePolicy;
  readonly generation: SecretGeneration;
}

export type Compile = (policy: EffectivePolicy, secrets: Secrets) => Promise<RoutedPolicy>;

export class PolicyInForce {
  readonly #compile: Compile;
  readonly #secrets: Pick<LiveSecrets, "inForce" | "next" | "use">;
  readonly #origins = new WeakMap<RoutedPolicy, Origin>();
  #routed: RoutedPolicy | undefined;
  #off = nothingOff;
  #closed = false;
  #trial: PolicyTrial<RoutedPolicy> | undefined;

  constructor(compile: Compile, secrets: Pick<LiveSecrets, "inForce" | "next" | "use">) {
    this.#compile = compile;
    this.#secrets = secrets;
  }

  get routed(): RoutedPolicy | undefined {
    return this.#routed;
  }

  /** The state of the policy's plugins. */
  reports(): PluginReport[] {
    const routed = this.#routed;
    return routed?.snapshot.reports((plugin, path) => routed.off.of(plugin, path) !== undefined) ?? [];
  }

  /** Rejects, leaving nothing behind, when the policy cannot be set up. */
  async compile(policy: EffectivePolicy, generation = this.#secrets.inForce): Promise<RoutedPolicy> {
    const routed = await this.#compile(policy, generation.secrets);
    this.#origins.set(routed, { policy, generation });
    return await this.#withOff(routed, this.#off);
  }

  /** Puts the policy in force; the previous one is closed after its last exchange. */
  swap(next: RoutedPolicy): void {
    const previous = this.#routed;
    if (previous !== undefined) next.snapshot.takeOver(previous.snapshot);
    next.trial = this.#trial;
    this.#routed = next;
    void this.#switch();
    const origin = this.#origins.get(next);
    if (origin !== undefined) this.#secrets.use(origin.generation);
    if (previous === undefined) return;
    previous.snapshot.retire();
    // When the next policy is large as well, the pause would be long and that policy would need the memory again.
    const isLeft = isLarge(previous) && !isLarge(next);
    if (isLeft) void previous.snapshot.closed.then(releaseMemory);
  }

  /** @param trial the trial beside this policy from now on, or the trial whose candidate this is; undefined = none */
  tryBeside(trial: PolicyTrial<RoutedPolicy> | undefined): void {
    this.#trial = trial;
    if (this.#routed !== undefined) this.#routed.trial = trial;
  }

  /** Takes the policy out of force without a replacement. */
  withdraw(): void {
    this.#routed?.snapshot.retire();
    this.#routed = undefined;
  }

  /** Whether it was set up under the secrets in force. */
  isCurrent(routed: RoutedPolicy): boolean {
    return this.#origins.get(routed)?.generation === this.#secrets.inForce;
  }

  /** Sets the same policy up again under the secrets in force. Rejects when that fails; then nothing changes. */
  async again(): Promise<void> {
    const before = this.#routed;
    const origin = before && this.#origins.get(before);
    if (origin === undefined) return;
    const next = await this.compile(origin.policy);
    if (this.#routed === before && !this.#closed) this.swap(next);
    else next.snapshot.retire();
  }

  /** Takes plugins out of the chains, of this policy and of later ones. Exchanges that are running are judged again. */
  switchOff(off: SwitchedOff): void {
    this.#off = off.size === 0 ? nothingOff : off;
    void this.#switch();
  }

  /** Replaces the policy in force by the same one without the switched-off plugins, unless that is already so. */
  async #switch(): Promise<void> {
    for (;;) {
      const before = this.#routed;
      const off = this.#off;
      if (before === undefined || before.off === off || this.#closed) return;
      const switched = await this.#withOff(before, off);
      if (this.#routed !== before || this.#off !== off) continue;
      switched.trial = this.#trial;
      this.#routed = switched;
    }
  }

  async #withOff(routed: RoutedPolicy, off: SwitchedOff): Promise<RoutedPolicy> {
    if (routed.off === off) return routed;
    const switched = await routed.switched(off);
    const origin = this.#origins.get(routed);
    if (origin !== undefined) this.#origins.set(switched, origin);
    return switched;
  }

  /** Whether these are the secrets in force. */
  has(values: SecretValues): boolean {
    return isDeepStrictEqual(this.#secrets.inForce.values, values);
  }

  /** Puts other secrets in force. Rejects when the policy in force cannot be set up with them; then nothing changes. */
  async renew(values: SecretValues): Promise<void> {
    const generation = this.#secrets.next(values);
    for (;;) {
      const before = this.#routed;
      const origin = before && this.#origins.get(before);
      if (origin === undefined) {
        this.#secrets.use(generation);
        return;
      }
      const next = await this.compile(origin.policy, generation);
      if (this.#routed === before && !this.#closed) {
        this.swap(next);
        return;
      }
      // Another policy came into force meanwhile.
      next.snapshot.retire();
      if (this.#closed) return;
    }
  }

  /** Retires the policy. Resolves when its plugins are closed. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#routed?.snapshot.retire();
    await this.#routed?.snapshot.closed;
  }
}
