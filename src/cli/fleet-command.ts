// Declares the `fleet` command with its options.
import type { Command } from "commander";
import type { Choose } from "./command-parts.ts";
import type { FleetOptions } from "./fleet.ts";
import type { Terminal } from "./terminal.ts";

export function addFleetCommand(program: Command, terminal: Terminal, choose: Choose): void {
  program
    .command("fleet")
    .description("print the sidecars: which policy each has in force, and who fell silent within the hour")
    .option("--service <name>", "this service's alone")
    .option("--watch", "again every two seconds, until Ctrl-C")
    .option("--json", "print JSON; with --watch one line each time")
    .action((options: FleetOptions) =>
      choose(async () => (await import("./fleet.ts")).printFleet(terminal, options)),
    );
}
