// Commands for whoever sets things up: from another gateway, and in a shell.
import { Argument, type Command } from "commander";
import type { Shell } from "./completion.ts";
import { shells } from "./completion.ts";
import type { Terminal } from "./terminal.ts";

export function addSetupCommands(
  program: Command,
  terminal: Terminal,
  choose: (run: () => Promise<number>) => void,
): void {
  program
    .command("import")
    .description(
      "make a policy of another gateway's configuration, and say on stderr what could not be carried over",
    )
    .argument("<file>", "kong.yaml (declarative configuration) or oauth2-proxy.cfg")
    .option("--json", "print JSON")
    .action((file: string, options: { json?: true }) =>
      choose(async () => (await import("./import.ts")).importFile(terminal, file, options)),
    );
  program
    .command("relay")
    .description(
      "keep this region's policy (REDIS_URL) up to date with that of another one (OUTRIGGER_RELAY_FROM)",
    )
    .option("--take-over", "once, also where this region has a policy of its own, or one of a later revision")
    .action((options: { takeOver?: true }) =>
      choose(async () => (await import("./relay.ts")).runRelay(terminal, options)),
    );
  program
    .command("completion")
    .description("print a script that completes commands and options; source it")
    .addArgument(new Argument("<shell>", "of which shell").choices(shells))
    .action((shell: Shell) =>
      choose(async () => (await import("./completion.ts")).printCompletion(terminal, program, shell)),
    );
}
