// Collects the checks that make up a sidecar's readiness.
import type { Check } from "../admin/readiness.ts";
import type { PolicyController } from "../policy/controller.ts";
import type { BypassWatch } from "./bypass-watch.ts";
import { redisCheck } from "./connect-store.ts";
import type { Drills } from "./drills.ts";
import type { DataPlane } from "./governed.ts";
import type { ProcessContext } from "./process-context.ts";
import type { UpstreamProbe } from "./upstream-probe.ts";

interface Checked<Compiled> {
  readonly data: DataPlane<Compiled>;
  readonly controller: PolicyController;
  readonly probe: UpstreamProbe | undefined;
  readonly bypass: Pick<BypassWatch, "checks">;
  readonly drills: Pick<Drills<never>, "checks"> | undefined;
}

export function checksOf<Compiled>(
  { store }: ProcessContext,
  { data, controller, probe, bypass, drills }: Checked<Compiled>,
): Check[] {
  const plugins = [...data.troubles()].map(([name, trouble]) => ({
    name: `plugin ${name}`,
    // A plugin in trouble follows its own fail mode: taking the sidecar out of service would only add a failure.
    ok: true,
    detail: trouble,
  }));
  return [
    { name: "policy", ok: controller.ready },
    data.check(),
    { name: data.draining ? "draining" : "not draining", ok: !data.draining },
    ...redisCheck(store),
    ...(probe === undefined ? [] : [probe.check]),
    ...bypass.checks,
    ...(drills?.checks ?? []),
    ...plugins,
  ];
}
