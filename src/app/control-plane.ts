// Creates the control plane, which governs: the policy's source, the heartbeat, the admin listener. A single process
// has it beside its data plane. Of several processes, the primary has it, and the workers are its data plane.
import type { AddressInfo } from "node:net";
import { type Admin, createAdmin } from "../admin/admin.ts";
import type { DrillSource } from "../admin/drill.ts";
import { createSecrets } from "../config/secret-hosts.ts";
import { bind } from "../config/start-error.ts";
import { type HeartbeatSender, startHeartbeat } from "../fleet/heartbeat.ts";
import { type KillSwitch, switchField } from "../kill-switch/kill-switch.ts";
import type { PolicyController } from "../policy/controller.ts";
import type { EffectivePolicy } from "../policy/read.ts";
import { signedPolicyOf } from "../policy/sources/peer-policies.ts";
import { shownReports } from "../runtime/plugin-report.ts";
import { auditKeys } from "./audit.ts";
import { BroughtPlugins } from "./brought-plugins.ts";
import { type CanaryFollower, followCanary } from "./canary.ts";
import { benchOptions } from "./bench-options.ts";
import { BypassWatch } from "./bypass-watch.ts";
import { type KillSwitchState, watchKillSwitches } from "./kill-switches.ts";
import { Drills } from "./drills.ts";
import type { DataPlane } from "./governed.ts";
import type { ProcessContext } from "./process-context.ts";
import { createController, factsOf } from "./policy-controller.ts";
import { checksOf } from "./ready-checks.ts";
import { tapSourceOf } from "./taps.ts";
import type { MetricsPusher } from "../telemetry/otlp/metrics-pusher.ts";
import { pushMetrics } from "./pushed-metrics.ts";
import { requestDocument } from "./shown-requests.ts";
import { createSiblingTls, type LiveSiblingTls } from "./sibling-tls.ts";
import { UpstreamProbe } from "./upstream-probe.ts";

export interface ControlPlane {
  /** Resolves with the exit code when the admin listener is told to end the process. */
  readonly ending: Promise<number>;
  /**
   * Opens the admin listener, then reads the policy, so that health is answered meanwhile.
   * Rejects with StartError when the address cannot be bound.
   * @returns address of the admin listener
   */
  start(): Promise<AddressInfo | string>;
  /** Stops the policy's updates and the heartbeat. May be called without a start. */
  stop(): Promise<void>;
  /** Closes the admin listener. Call it last: the listener also shows how the data plane ends. */
  close(): Promise<void>;
}

/**
 * @param adminConnections limit of concurrent connections to the admin listener; absent = its default
 * Rejects when a policy key cannot be used.
 */
export async function createControlPlane<Compiled extends object>(
  context: ProcessContext,
  data: DataPlane<Compiled>,
  adminConnections?: number,
): Promise<ControlPlane> {
  const { config, telemetry, secretFiles } = context;
  let heartbeat: HeartbeatSender | undefined;
  let pushed: MetricsPusher | undefined;
  const stopWatching = auditKeys(context);
  const tell = (): void => heartbeat?.trigger();
  const switches = switchesOf(context, data, tell);
  const brought = new BroughtPlugins<Compiled>();
  const drills = Drills.of(context, data);
  const siblings = createSiblingTls(config, telemetry);
  const parts = { switches, brought, tell, drills, siblings, onSwapped: () => canary?.changed() };
  const controller = await controllerOf(context, data, parts);
  const canary = followCanary(context, { controller, data, tell });
  const ending = Promise.withResolvers<number>();
  const probe = UpstreamProbe.of(config, context.upstreamTls, telemetry.logger);
  const bypass = new BypassWatch({ config, ...telemetry, onChange: tell });
  const admin = adminOf(context, data, drills, {
    checks: () => checksOf(context, { data, controller, probe, bypass, drills }),
    ...shown(context, { data, controller, siblings }, () => statusOf(controller, switches, canary, drills)),
    quit: () => ending.resolve(0),
    maxConnections: adminConnections,
  });
  return {
    ending: ending.promise,
    async start() {
      const address = await bind("OUTRIGGER_ADMIN", config.admin, () => admin.listen());
      // First restores who may sign kill switches: after a restart without Redis nothing else tells.
      await controller.recall();
      await switches?.start();
      // Starts before the policy: subscribing to a further channel later would make every cache doubt its contents.
      canary?.start();
      await controller.start();
      heartbeat = heartbeatOf(context, { controller, data, switches, brought, canary, bypass });
      pushed = pushMetrics(context, data);
      return address;
    },
    async stop() {
      for (const part of [{ close: stopWatching }, siblings, secretFiles, probe, bypass]) part?.close();
      for (const part of [canary, heartbeat, switches, controller]) await part?.stop();
    },
    close: async () => void (await Promise.all([pushed?.close(), admin.close()])),
  };
}

function requestFinder(
  { config: { service, instance } }: ProcessContext,
  data: Pick<DataPlane<never>, "requests">,
  controller: PolicyController,
) {
  return async (id: string) =>
    requestDocument(await data.requests(id), controller.status(), { service, instance });
}

function switchesOf(
  context: ProcessContext,
  data: Pick<DataPlane<never>, "switchOff">,
  tell: () => void,
): KillSwitchState | undefined {
  return watchKillSwitches(context, (off) => {
    data.switchOff(off);
    context.audit.change("kill-switch", { disabled: off.map(toldOf) });
    tell();
  });
}

const toldOf = ({ plugin, route = "*", author, reason }: KillSwitch) => ({ plugin, route, author, reason });

interface ShownParts {
  readonly data: Pick<DataPlane<never>, "requests">;
  readonly controller: PolicyController;
  readonly siblings: LiveSiblingTls | undefined;
}

/** What the admin listener shows of policies and requests, and the TLS identity by which siblings may read it. */
function shown(
  context: ProcessContext,
  { data, controller, siblings }: ShownParts,
  policyStatus: () => object,
) {
  const { service } = context.config;
  const request = requestFinder(context, data, controller);
  const signedPolicy = (): object | undefined => {
    const raw = controller.signed();
    return raw && signedPolicyOf(service, raw);
  };
  return { policyStatus, signedPolicy, request, siblings: siblings?.current };
}

/** Makes the document of `/policy`. */
function statusOf(
  controller: PolicyController,
  switches: KillSwitchState | undefined,
  canary: CanaryFollower | undefined,
  drills: Pick<Drills<never>, "shown"> | undefined,
) {
  const disabled = switches?.current ?? [];
  const drill = drills && { drill: drills.shown() };
  return { ...controller.status(), disabled, canary: canary?.shown() ?? null, ...drill };
}

interface ControllerOfParts<Compiled extends object> {
  readonly switches: KillSwitchState | undefined;
  readonly brought: BroughtPlugins<Compiled>;
  readonly drills: Drills<Compiled> | undefined;
  readonly siblings: LiveSiblingTls | undefined;
  /** Makes the heartbeat report at once what came into force or was refused. */
  readonly tell: () => void;
  readonly onSwapped: () => void;
}

async function controllerOf<Compiled extends object>(
  context: ProcessContext,
  data: DataPlane<Compiled>,
  { switches, brought, drills, siblings, tell, onSwapped }: ControllerOfParts<Compiled>,
): Promise<PolicyController> {
  const { config, telemetry, registry, clock, store, packages, audit, drill } = context;
  return await createController(config, telemetry, registry, {
    store,
    packages,
    clock,
    checkDisk: drill?.checkDisk,
    adminToken: () => context.secretFiles.adminToken,
    siblings: siblings?.current,
    test: testerOf(context),
    audit,
    async onTrust(trust) {
      data.trust(trust);
      audit.change("keys", { policyKeys: trust.keys.map(({ thumbprint }) => thumbprint) });
      await switches?.trust(trust.keys);
    },
    async compile(policy, raw) {
      const compiled = await data.compile(policy, raw);
      brought.compiled(compiled, policy.extensions);
      drills?.compiled(compiled, policy);
      return compiled;
    },
    swap(compiled: Compiled) {
      data.swap(compiled);
      drills?.swapped(compiled);
      if (brought.swapped(compiled)) audit.change("plugins", { brought: brought.plugins });
      tell();
      onSwapped();
    },
    release: (late) => data.release(late),
    onRejected: tell,
  });
}

/**
 * Runs the policy's tests, in the process that governs. Workers need not run them, and no worker has set up a policy
 * that fails them.
 */
function testerOf({ config, registry, clock, secretFiles }: ProcessContext) {
  return async (policy: EffectivePolicy, signal: AbortSignal) => {
    if (policy.tests.length === 0) return [];
    const { problemsIn, runTests } = await import("../policy-tests/run.ts");
    const secrets = createSecrets(secretFiles.pluginSecrets, config.secretHosts);
    return problemsIn(await runTests(policy, benchOptions(config, registry, clock, secrets), signal));
  };
}

const namesake =
  "another live sidecar of this service has the same OUTRIGGER_INSTANCE: each overwrites what the other reports to the fleet; give each a name of its own";

/** @returns undefined without Redis */
function heartbeatOf(
  { config, registry, clock, store, telemetry }: ProcessContext,
  parts: {
    readonly controller: PolicyController;
    readonly data: Pick<DataPlane<never>, "setFleetSize" | "troubles">;
    readonly switches: KillSwitchState | undefined;
    readonly brought: Pick<BroughtPlugins<never>, "plugins">;
    readonly canary: CanaryFollower | undefined;
    readonly bypass: Pick<BypassWatch, "current">;
  },
): HeartbeatSender | undefined {
  if (store === undefined) return undefined;
  return startHeartbeat({
    ...factsOf(config),
    plugins: () => [...registry, ...parts.brought.plugins],
    troubles: () => parts.data.troubles(),
    store,
    status: () => parts.controller.status(),
    disabled: () => (parts.switches?.current ?? []).map(switchField),
    canary: () => parts.canary?.shown() ?? null,
    bypass: () => parts.bypass.current ?? null,
    clock,
    onSize: (sidecars) => parts.data.setFleetSize(sidecars),
    onNamesake: (boot) => telemetry.logger.warn({ other: boot || "an older version" }, namesake),
  });
}

function adminOf<Compiled>(
  { config, telemetry, secretFiles, audit }: ProcessContext,
  data: DataPlane<Compiled>,
  drills: DrillSource | undefined,
  parts: Pick<
    Parameters<typeof createAdmin>[0],
    "checks" | "policyStatus" | "signedPolicy" | "siblings" | "request" | "quit" | "maxConnections"
  >,
): Admin {
  const { logger, metrics, level } = telemetry;
  return createAdmin({
    ...parts,
    drills,
    policyStatus: () => ({ ...parts.policyStatus(), troubles: Object.fromEntries(data.troubles()) }),
    listen: config.passed?.admin === undefined ? config.admin : { fd: config.passed.admin },
    token: () => secretFiles.adminToken,
    logger,
    plugins: async () => shownReports(await data.plugins()),
    metrics: { render: (open) => data.renderMetrics(open) },
    tap: tapSourceOf(data, metrics, audit),
    logLevel: {
      get: () => level.get(),
      set(name) {
        const known = level.set(name);
        if (!known) return false;
        data.onLogLevel?.(name);
        audit.change("log-level", { level: name });
        return true;
      },
    },
    drain() {
      audit.change("drain", { by: "admin listener" });
      data.beginDrain();
    },
    async extra(path) {
      const body = await data.document(path);
      return body === undefined ? undefined : { contentType: "application/json", body };
    },
  });
}
