// Declares the `plugins` commands with their arguments and options.
import type { Command } from "commander";
import { type Choose, json } from "./command-parts.ts";
import type { ListOptions } from "./kill-switch-list.ts";
import type { DisableOptions, EnableOptions } from "./kill-switch-set.ts";
import type { Terminal } from "./terminal.ts";

const service = ["--service <name>", "at this service alone"] as const;
const route = ["--route <pattern>", "on routes alone whose own path this pattern takes"] as const;
const author = ["--author <name>", "who; default: OUTRIGGER_AUTHOR, else user@host"] as const;

export function addKillSwitchCommands(program: Command, terminal: Terminal, choose: Choose): void {
  const plugins = program.command("plugins").description("list plugins, switch one off everywhere at once");
  plugins
    .command("list")
    .description("print the plugins, and what is switched off: where, until when, why, by whom")
    .option("--history", "print instead who switched what off and on again: when and why, newest first")
    .option(...json)
    .action((options: ListOptions) =>
      choose(async () => (await import("./kill-switch-list.ts")).listPlugins(terminal, options)),
    );
  plugins
    .command("disable")
    .description("switch a plugin off within a second, whatever the policy is")
    .argument("<plugin>")
    .requiredOption("--reason <text>", "why")
    .option(...service)
    .option(...route)
    .option("--ttl <time>", "for so long, e.g. 1h; default: until it is enabled")
    .option(
      "--accept-open-routes",
      "of a security plugin: let everybody in meanwhile; else its routes answer 503",
    )
    .option(
      "--key <file>",
      "sign it with this private key, where sidecars have OUTRIGGER_POLICY_KEYS; takes --ttl",
    )
    .option(...author)
    .option(...json)
    .action((plugin: string, options: DisableOptions) =>
      choose(async () => (await import("./kill-switch-set.ts")).disablePlugin(terminal, plugin, options)),
    );
  addEnable(plugins, terminal, choose);
}

function addEnable(plugins: Command, terminal: Terminal, choose: Choose): void {
  plugins
    .command("enable")
    .description("take that back: the plugin, service and route as they were given")
    .argument("<plugin>")
    .option("--reason <text>", "why, for the history of switches")
    .option(...service)
    .option(...route)
    .option(...author)
    .option(...json)
    .action((plugin: string, options: EnableOptions) =>
      choose(async () => (await import("./kill-switch-set.ts")).enablePlugin(terminal, plugin, options)),
    );
}
