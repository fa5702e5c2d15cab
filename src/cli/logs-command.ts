// Declares the `logs` command with its options.
import type { Command } from "commander";
import type { Choose } from "./command-parts.ts";
import type { LogsOptions } from "./logs.ts";
import type { Terminal } from "./terminal.ts";

export function addLogsCommand(program: Command, terminal: Terminal, choose: Choose): void {
  program
    .command("logs")
    .description("print the access log of all services, merged in time, where the policy says logging.stream")
    .option("-f, --follow", "go on with what comes, until Ctrl-C")
    .option("--service <name>", "this service's alone")
    .option("-n, --lines <count>", "the last so many that fit (default: 50)")
    .option("--status <which>", "5xx, 404 or 400-499, several with commas")
    .option("--route <path>", "of the route with this path, as the policy has it")
    .option("--json", "print each line as JSON")
    .action((options: LogsOptions) =>
      choose(async () => (await import("./logs.ts")).printLogs(terminal, options)),
    );
}
