// The `keys` commands, their arguments and options.
import type { Command } from "commander";
import type { CreateOptions } from "./keys-create.ts";
import type { Terminal } from "./terminal.ts";

const json = ["--json", "print JSON"] as const;

/** @param choose takes what is to be run once the arguments are right */
export function addKeysCommands(
  program: Command,
  terminal: Terminal,
  choose: (run: () => Promise<number>) => void,
): void {
  const keys = program.command("keys").description("work on API keys in Redis");
  keys
    .command("create")
    .description("make an API key and print it, once")
    .requiredOption("--user <id>", "whose key it is")
    .option("--plan <name>", "plan of the holder")
    .option("--scopes <list>", "scopes, separated by commas")
    .option("--expires <time>", "when it ends, e.g. 90d (default: never)")
    .option(...json)
    .action((options: CreateOptions) =>
      choose(async () => (await import("./keys-create.ts")).createKey(terminal, options)),
    );
  keys
    .command("list")
    .description("print all keys, their state and who still uses them")
    .option(...json)
    .action((options: { json?: true }) =>
      choose(async () => (await import("./keys-list.ts")).listKeys(terminal, options)),
    );
  keys
    .command("rotate")
    .description("make a new key for the same caller and let the old one end")
    .argument("<id>")
    .option("--overlap <time>", "how long both are good", "24h")
    .option(...json)
    .action((id: string, options: { overlap: string; json?: true }) =>
      choose(async () => (await import("./keys-rotate.ts")).rotateKey(terminal, id, options)),
    );
  keys
    .command("revoke")
    .description("end a key now")
    .argument("<id>")
    .option(...json)
    .action((id: string, options: { json?: true }) =>
      choose(async () => (await import("./keys-revoke.ts")).revokeKey(terminal, id, options)),
    );
}
