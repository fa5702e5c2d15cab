// Follows the kill switches of this sidecar. The control plane reads them and the data plane honours them; the log, a
// metric, /policy and the heartbeat show them.
import { KeptSwitches } from "../kill-switch/kept-switches.ts";
import { disabledKey, type KillSwitch, switchField, whyUnread } from "../kill-switch/kill-switch.ts";
import { signedOpener } from "../kill-switch/signed-switch.ts";
import { SwitchSource } from "../kill-switch/switch-source.ts";
import { sharedKey } from "../policy/read.ts";
import type { VerifyKey } from "../policy/signature/verify-keys.ts";
import type { ProcessContext } from "./process-context.ts";

export interface KillSwitchState {
  /** The switches in force, oldest first. */
  readonly current: readonly KillSwitch[];
  /** Sets the keys that may sign switches. The known switches are verified again. */
  trust(keys: readonly VerifyKey[]): Promise<void>;
  /** Reads the switches before anything is served. Resolves within a bounded time. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * @param honour takes the switched-off plugins out of the chains
 * @returns undefined without Redis
 */
export function watchKillSwitches(
  context: ProcessContext,
  honour: (switches: readonly KillSwitch[]) => void,
): KillSwitchState | undefined {
  const { config, store, telemetry, clock } = context;
  const { service, stateDir, policyKeys } = config;
  const { logger } = telemetry;
  if (store === undefined) return undefined;
  let trusted: readonly VerifyKey[] = [];
  const tell = teller(context);
  const source = new SwitchSource({
    store,
    service,
    policyKey: sharedKey,
    clock,
    kept:
      stateDir === undefined
        ? undefined
        : new KeptSwitches({
            dir: stateDir,
            service,
            onTrouble: (message) => logger.warn({}, message),
            checkDisk: context.drill?.checkDisk,
          }),
    // A signed switch needs an end: without one, whoever steals access to Redis could put an old one back for good.
    needsEnd: policyKeys !== undefined,
    open: policyKeys && signedOpener(() => trusted),
    onChange({ switches }) {
      tell(switches);
      honour(switches);
    },
    ...complaints(context),
  });
  return {
    get current() {
      return source.current.switches;
    },
    trust(keys) {
      trusted = keys;
      return source.judge();
    },
    start: () => source.start(),
    stop: () => source.stop(),
  };
}

const maxToldFields = 8;

/** Reports switches that are not honoured, in the log and a metric. */
function complaints({ config, telemetry: { logger, metrics } }: ProcessContext) {
  const { keyPrefix, policyKeys } = config;
  const unread = metrics.gauge(
    "outrigger_kill_switches_unread",
    "1 = Redis answers, and its kill switches cannot be read: what was read last holds",
  )();
  unread.set(0);
  return {
    onRefused(code: string) {
      unread.set(1);
      logger.error(
        { code },
        `kill switches cannot be read, what was read last holds: ${whyUnread(code, keyPrefix + disabledKey)}`,
      );
    },
    onLost: () =>
      logger.error(
        {},
        `Redis has lost its policy, and kill switches with it: what was off stays off until ${keyPrefix}${sharedKey} is there again`,
      ),
    onRead() {
      unread.set(0);
      logger.info({}, "kill switches can be read again");
    },
    // One line for all, because whoever controls Redis can set thousands at a time.
    onIgnored: (fields: readonly string[]) =>
      logger.error(
        { fields: fields.slice(0, maxToldFields), count: fields.length },
        policyKeys === undefined
          ? "kill switches in Redis cannot be read: they are ignored"
          : "kill switches in Redis are not signed by a key that counts: they are ignored (outrigger plugins disable --key)",
      ),
  };
}

function teller({ telemetry: { logger, metrics } }: ProcessContext): (now: readonly KillSwitch[]) => void {
  const disabled = metrics.gauge("outrigger_plugin_disabled", "Kill switches in force, by plugin", [
    "plugin",
  ]);
  let before: readonly KillSwitch[] = [];
  return (now) => {
    const fields = new Set(now.map(switchField));
    for (const each of before)
      if (!fields.has(switchField(each)))
        logger.warn(
          { plugin: each.plugin, route: each.route ?? "*" },
          "a plugin is on again, as the policy says",
        );
    const known = new Set(before.map((each) => JSON.stringify(each)));
    for (const each of now) {
      if (known.has(JSON.stringify(each))) continue;
      const { plugin, route = "*", reason, author, untilMs, openRoutes } = each;
      const until = untilMs === undefined ? undefined : new Date(untilMs).toISOString();
      logger.warn(
        { plugin, route, reason, author, until },
        openRoutes
          ? "a plugin is switched off"
          : "a plugin is switched off: where it decides who gets in, its routes answer 503",
      );
    }
    for (const { plugin } of before) disabled(plugin).set(0);
    for (const { plugin } of now) disabled(plugin).set(now.filter((each) => each.plugin === plugin).length);
    before = now;
  };
}
