// Runs `outrigger check`: checks everything around a sidecar that can be wrong, and says what to do about it.
import { loadConfig } from "../app/environment.ts";
import { type Config, ConfigError } from "../config/config.ts";
import { lookForBypass, ownAddresses } from "../intercept/bypass.ts";
import { checkCertificates } from "./check/certificates.ts";
import type { CheckFinding } from "../plugin-api/checks.ts";
import { checkOf } from "./check/finding.ts";
import { checkPlugins } from "./check/plugins.ts";
import { checkPolicy } from "./check/policy.ts";
import { checkProcess, checkStateDir } from "./check/process.ts";
import { checkRedis } from "./check/redis.ts";
import { checkService } from "./check/service.ts";
import { printable } from "./table.ts";
import { isColoured, type Terminal } from "./terminal.ts";

/** @returns the exit code: 1 when something fails, 2 when the environment is wrong */
export async function checkAll(terminal: Terminal, options: { readonly json?: true }): Promise<number> {
  const environment = checkOf("environment");
  let config: Config;
  try {
    config = loadConfig(terminal.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const advice = "outrigger config prints every setting with its meaning";
    print(
      terminal,
      error.problems.map((problem) => environment.fail(problem, advice)),
      options,
    );
    return 2;
  }
  const parts = await Promise.all([
    checkRedis(config, Date.now),
    checkPolicy(config),
    checkService(config.upstream, Date.now(), () =>
      lookForBypass(config.upstream, { own: ownAddresses(config) }),
    ),
    checkStateDir(config),
    checkPlugins(config, Date.now()),
  ]);
  const [redis, policy, service, stateDir, plugins] = parts;
  const found = [
    environment.ok(`service ${config.service}, instance ${config.instance}`),
    ...checkProcess(config),
    ...redis,
    ...policy,
    ...plugins,
    ...stateDir,
    ...service,
    ...checkCertificates(config, Date.now()),
  ];
  print(terminal, found, options);
  return found.some(({ state }) => state === "fail") ? 1 : 0;
}

function print(terminal: Terminal, found: readonly CheckFinding[], { json }: { readonly json?: true }): void {
  if (json) {
    const ok = found.every(({ state }) => state !== "fail");
    terminal.out(`${JSON.stringify({ ok, checks: found }, null, 2)}\n`);
    return;
  }
  for (const { name, state, message, advice } of found) {
    const text = printable(`${name}: ${message}${advice === undefined ? "" : `; ${advice}`}`);
    terminal.out(`${coloured(terminal, state)} ${text}\n`);
  }
}

const colours = { ok: "\u001B[32m", warn: "\u001B[33m", fail: "\u001B[31m" } as const;

function coloured(terminal: Terminal, state: CheckFinding["state"]): string {
  const shown = state.padEnd(4);
  if (!isColoured(terminal)) return shown;
  return `${colours[state]}${shown}\u001B[0m`;
}
