// Declares all commands with their arguments. Exit codes: 0 = success, 1 = failure or "no", 2 = wrong usage or bad
// configuration. Each command is a file of its own that is loaded only when it is used.
import { Command, CommanderError } from "commander";
import { ConfigError } from "../config/config.ts";
import { parseDuration } from "../language/duration.ts";
import { version } from "../version.ts";
import { type Choose, json, wrongWait } from "./command-parts.ts";
import { addAuditCommands } from "./audit-commands.ts";
import { addDrillCommand, addExplainCommand, addTapCommand } from "./requests-commands.ts";
import { addFleetCommand } from "./fleet-command.ts";
import { addInterceptCommands } from "./intercept-commands.ts";
import { addInjectorCommands } from "./injector-commands.ts";
import { addLogsCommand } from "./logs-command.ts";
import { addPackageCommands } from "./package-commands.ts";
import { addPluginCommands } from "./plugin-commands.ts";
import { addKillSwitchCommands } from "./kill-switch-commands.ts";
import { addPolicyCommands } from "./policy-commands.ts";
import { addSetupCommands } from "./setup-commands.ts";
import type { AclOptions } from "./redis-acl.ts";
import type { Terminal } from "./terminal.ts";

export async function createProgram(terminal: Terminal, choose: Choose): Promise<Command> {
  const program = new Command("outrigger")
    .description(
      "One policy, every service: a sidecar that applies plugins and forwards to the service beside it.",
    )
    .version(version)
    .exitOverride()
    .configureOutput({ writeOut: (text) => terminal.out(text), writeErr: (text) => terminal.err(text) });
  addSidecarCommands(program, terminal, choose);
  addPolicyCommands(program, terminal, choose);
  addFleetCommand(program, terminal, choose);
  addLogsCommand(program, terminal, choose);
  addExplainCommand(program, terminal, choose);
  addAuditCommands(program, terminal, choose);
  addTapCommand(program, terminal, choose);
  addDrillCommand(program, terminal, choose);
  addKillSwitchCommands(program, terminal, choose);
  addPackageCommands(program, terminal, choose);
  addAclCommand(program, terminal, choose);
  addInterceptCommands(program, terminal, choose);
  addInjectorCommands(program, terminal, choose);
  addSetupCommands(program, terminal, choose);
  await addPluginCommands(program, terminal, choose);
  return program;
}

/** Adds the commands that run a sidecar, or show how one would run. */
function addSidecarCommands(program: Command, terminal: Terminal, choose: Choose): void {
  program
    .command("run")
    .description("run the sidecar, configured by the environment (the default)")
    .action(() => choose(async () => (await import("./run.ts")).run(terminal.env)));
  program
    .command("demo")
    .description("start a sample service with a sidecar in front of it, and print what to try")
    .action(() => choose(async () => (await import("./demo.ts")).runDemo(terminal)));
  program
    .command("config")
    .description("print every setting with its meaning, default and current value")
    .option(...json)
    .action((options: { json?: true }) =>
      choose(async () => (await import("./config.ts")).printConfig(terminal, options)),
    );
  program
    .command("check")
    .description(
      "look at what a sidecar in this environment needs: Redis, rights, policy, service, certificates",
    )
    .option(...json)
    .action((options: { json?: true }) =>
      choose(async () => (await import("./check.ts")).checkAll(terminal, options)),
    );
}

function addAclCommand(program: Command, terminal: Terminal, choose: Choose): void {
  program
    .command("redis-acl")
    .description(
      "print the Redis user (ACL) of a service's sidecars: its own state, and nothing of other services",
    )
    .option("--service <name>", "the service; default: OUTRIGGER_SERVICE")
    .option(
      "--login",
      "where its policy has a browser login: also the state of sessions, which all such services share",
    )
    .option("--fleet-limits", "also the counts of limits with sharedBy: fleet")
    .option(...json)
    .action((options: AclOptions) =>
      choose(async () => (await import("./redis-acl.ts")).printAcl(terminal, options)),
    );
}

/** Rewrites `--wait TIME`: after `--wait` only a time belongs to it, and any other word is the file. */
function withLimits(args: readonly string[]): string[] {
  const taken: string[] = [];
  for (const [at, arg] of args.entries()) {
    if (arg === "--wait") taken.push("--wait=30s");
    else if (args[at - 1] === "--wait" && parseDuration(arg) !== undefined)
      taken.splice(-1, 1, `--wait=${arg}`);
    else taken.push(arg);
  }
  return taken;
}

/**
 * @param args arguments after the program's name
 * @returns the exit code
 */
export async function runCommand(args: readonly string[], terminal: Terminal): Promise<number> {
  let chosen: (() => Promise<number>) | undefined;
  try {
    const program = await createProgram(terminal, (run) => (chosen = run));
    program.parse(withLimits(args), { from: "user" });
    return chosen === undefined ? 2 : await chosen();
  } catch (error) {
    if (error instanceof CommanderError) {
      // A word after it that is no time counts as one of the arguments.
      if (error.code === "commander.excessArguments" && args.includes("--wait"))
        terminal.err(`${wrongWait}\n`);
      return error.exitCode === 0 ? 0 : 2;
    }
    if (error instanceof ConfigError) {
      terminal.err(`${error.message}\n`);
      return 2;
    }
    throw error;
  }
}
