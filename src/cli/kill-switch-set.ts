// Runs `outrigger plugins disable` and `enable`, which set and remove a plugin's kill switch.
import { pluginsByName } from "../app/registry.ts";
import { extensionName } from "../extensions/manifest.ts";
import { parseSwitchField, switchField, type SwitchTarget } from "../kill-switch/kill-switch.ts";
import { parseDuration } from "../language/duration.ts";
import { nearestName } from "../language/nearest.ts";
import { readFleet } from "../plane/fleet.ts";
import { KeyFileRefusal, readSigningKey, type SigningKey } from "../plane/private-key.ts";
import type { Terminal } from "./terminal.ts";
import { askedTrust } from "./plane-trust.ts";
import { unconcerned } from "./kill-switch-concerns.ts";
import { printable } from "./table.ts";
import { type Plane, PlaneRefusal, withPlane } from "./with-plane.ts";
import { withSwitches } from "./with-switches.ts";

export interface TargetOptions {
  readonly service?: string;
  readonly route?: string;
  readonly json?: true;
}

export interface EnableOptions extends TargetOptions {
  readonly reason?: string;
  readonly author?: string;
}

export interface DisableOptions extends TargetOptions {
  readonly reason: string;
  readonly ttl?: string;
  readonly acceptOpenRoutes?: true;
  readonly key?: string;
  readonly author?: string;
}

const maxReason = 500;
const reasonText = `--reason takes a text of at most ${maxReason} characters`;
/** Longest lifetime of a signed switch: until it ends, whoever steals access to Redis can put it back. */
const maxSignedMs = 30 * 86_400_000;

/** @returns the exit code */
export async function disablePlugin(
  terminal: Terminal,
  plugin: string,
  options: DisableOptions,
): Promise<number> {
  const target = targetOf(plugin, options);
  const ttlMs = options.ttl === undefined ? undefined : parseDuration(options.ttl);
  const builtIn = isBuiltIn(plugin) ? pluginsByName[plugin] : undefined;
  // For a plugin that a policy brings, this command cannot know whether it decides who gets in: assume that it does.
  const mayDecide = builtIn?.security ?? true;
  const wrong = typeof target === "string" ? target : wrongIn(options, ttlMs, mayDecide);
  if (typeof target === "string" || wrong !== undefined) {
    terminal.err(`${wrong}\n`);
    return 2;
  }
  return await withPlane(terminal, options, async (plane) => {
    const openRoutes = options.acceptOpenRoutes === true || !mayDecide;
    const unknown = builtIn === undefined ? await whyUnknown(plane, plugin) : undefined;
    if (unknown !== undefined) {
      terminal.err(`${unknown}\n`);
      return 2;
    }
    await write(plane, target, { ...options, openRoutes, ttlMs });
    const warnings = await unconcerned(plane, target);
    const closedText = `; ${builtIn === undefined ? "where it decides who gets in, " : ""}its routes answer 503`;
    const time = ttlMs === undefined ? "" : ` for ${options.ttl}`;
    const facts = { ...targetJson(target), disabled: true, openRoutes, warnings };
    if (options.json) terminal.out(`${JSON.stringify(facts, null, 2)}\n`);
    else terminal.out(`${plugin} is off ${where(target)}${time}${openRoutes ? "" : closedText}\n`);
    for (const warning of warnings)
      terminal.err(`warning: ${printable(warning)}; it is set, and counts once there is one\n`);
    return 0;
  });
}

interface Wish extends DisableOptions {
  readonly openRoutes: boolean;
  readonly ttlMs: number | undefined;
}

/** Rejects with PlaneRefusal when sidecars would not honour the switch. */
async function write(
  plane: Plane,
  target: SwitchTarget,
  { key: file, reason, openRoutes, ttlMs }: Wish,
): Promise<void> {
  const trusted = await askedTrust(plane);
  const key = file === undefined ? undefined : await signingKey(file);
  if (trusted !== undefined && key === undefined)
    throw new PlaneRefusal(
      "OUTRIGGER_POLICY_KEYS is set: sidecars ignore a kill switch that is not signed, so it needs --key and --ttl",
    );
  if (trusted !== undefined && trusted.every(({ thumbprint }) => thumbprint !== key?.kid))
    throw new PlaneRefusal(
      `${file} is not a key that counts by OUTRIGGER_POLICY_KEYS: sidecars would ignore the kill switch`,
    );
  const facts = { reason, author: plane.author, openRoutes, ttlMs };
  const answer = await withSwitches(plane, trusted, (switches) => switches.disable(target, facts, key));
  if (answer === "full") throw new PlaneRefusal('too many kill switches are set: "outrigger plugins list"');
  if (answer === "signed")
    throw new PlaneRefusal(
      "a signed kill switch stands there, and one that is not signed does not replace it: give --key and --ttl",
    );
}

/** @returns the exit code */
export async function enablePlugin(
  terminal: Terminal,
  plugin: string,
  options: EnableOptions,
): Promise<number> {
  const { reason = "" } = options;
  const target = targetOf(plugin, options);
  if (typeof target === "string" || reason.length > maxReason) {
    terminal.err(`${typeof target === "string" ? target : reasonText}\n`);
    return 2;
  }
  return await withPlane(terminal, options, async (plane) => {
    const unknown = await withSwitches(plane, await askedTrust(plane), async (switches) => {
      if (await switches.enable(target, { reason, author: plane.author })) return undefined;
      const others = (await switches.list()).switches.filter((each) => each.plugin === plugin);
      // Asked last: a switch of a plugin that no sidecar has any more can be taken back.
      const isKnown = others.length > 0 || isBuiltIn(plugin);
      const why = isKnown ? undefined : await whyUnknown(plane, plugin);
      if (why !== undefined) return why;
      const hint = others.length === 0 ? "" : `: it is off ${others.map(where).join(", ")}`;
      throw new PlaneRefusal(`no kill switch takes ${plugin} out ${where(target)}${hint}`);
    });
    if (unknown !== undefined) {
      terminal.err(`${unknown}\n`);
      return 2;
    }
    if (options.json)
      terminal.out(`${JSON.stringify({ ...targetJson(target), disabled: false }, null, 2)}\n`);
    else terminal.out(`${plugin} is on again ${where(target)}, as the policy says\n`);
    return 0;
  });
}

const isBuiltIn = (plugin: string): boolean => Object.hasOwn(pluginsByName, plugin);

/** @returns the target; a text = what is wrong with the arguments */
function targetOf(plugin: string, { service, route }: TargetOptions): SwitchTarget | string {
  if (!isBuiltIn(plugin) && !extensionName.safeParse(plugin).success)
    return noPlugin(plugin, Object.keys(pluginsByName));
  if (parseSwitchField(switchField({ plugin, service, route: undefined })) === undefined)
    return "--service takes the name of a service: letters, digits, dots, dashes and underscores";
  const target = { plugin, service, route };
  // Checks the route as a sidecar will read it.
  if (parseSwitchField(switchField(target)) === undefined)
    return "--route takes a path pattern as policies write them: an exact path, or a prefix that ends in /*";
  return target;
}

function noPlugin(plugin: string, known: readonly string[]): string {
  const meant = nearestName(plugin, known);
  return `there is no plugin ${JSON.stringify(plugin)}${meant === undefined ? "" : `: did you mean ${meant}?`}`;
}

/** @returns a message that no sidecar has the plugin; undefined = one has it */
async function whyUnknown({ store }: Plane, plugin: string): Promise<string | undefined> {
  const { members, unreadable } = await readFleet(store, undefined);
  // A sidecar whose state cannot be read may have the plugin, and may be the one that needs this switch.
  if (unreadable.length > 0) return undefined;
  const known = new Set(members.flatMap(({ receipt }) => Object.keys(receipt?.plugins ?? {})));
  return known.has(plugin) ? undefined : noPlugin(plugin, [...Object.keys(pluginsByName), ...known]);
}

function wrongIn(
  { reason, ttl, key, acceptOpenRoutes }: DisableOptions,
  ttlMs: number | undefined,
  security: boolean,
): string | undefined {
  if (reason.trim() === "" || reason.length > maxReason) return reasonText;
  if (ttl !== undefined && (ttlMs === undefined || ttlMs === 0))
    return "--ttl takes a length of time such as 1h or 30m";
  if (key !== undefined && (ttlMs === undefined || ttlMs > maxSignedMs))
    return "--key goes with a --ttl of at most 30d: who steals Redis can put a signed switch back until then";
  if (acceptOpenRoutes === true && !security)
    return "--accept-open-routes is for plugins that decide who gets in";
  return undefined;
}

async function signingKey(path: string): Promise<SigningKey> {
  try {
    return await readSigningKey(path);
  } catch (error) {
    if (error instanceof KeyFileRefusal) throw new PlaneRefusal(error.message);
    throw error;
  }
}

const where = ({ service, route }: SwitchTarget): string =>
  `${service === undefined ? "at every service" : `at ${service}`}${route === undefined ? "" : ` on ${route}`}`;

const targetJson = ({ plugin, service, route }: SwitchTarget): object => ({
  plugin,
  service: service ?? null,
  route: route ?? null,
});
