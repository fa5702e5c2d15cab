// Declares the commands for setting up: import from another gateway, relay, shell completion, sync.
import { Argument, type Command, Option } from "commander";
import { type Choose, json } from "./command-parts.ts";
import type { Shell } from "./completion.ts";
import { shells } from "./completion.ts";
import type { SyncOptions } from "./sync.ts";
import type { Terminal } from "./terminal.ts";

export function addSetupCommands(program: Command, terminal: Terminal, choose: Choose): void {
  program
    .command("import")
    .description(
      "make a policy of another gateway's configuration, and say on stderr what could not be carried over",
    )
    .argument("<file>", "kong.yaml (declarative configuration) or oauth2-proxy.cfg")
    .option(...json)
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
  addSyncCommand(program, terminal, choose);
}

function addSyncCommand(program: Command, terminal: Terminal, choose: Choose): void {
  program
    .command("sync")
    .description(
      "put the policies that a cluster (OutriggerPolicy objects, ConfigMaps) or a folder declares into Redis, and keep them there; health and metrics on OUTRIGGER_ADMIN",
    )
    .option("--from <folder>", "policy.yaml and policy.<service>.yaml of a folder, in place of a cluster")
    .option("--once", "look once; exit 1 when not all that is declared is in force")
    .option("--namespace <name>", "whose objects; default: that of the service account")
    .option("--service-account <folder>", "token, ca.crt and namespace, where they are elsewhere")
    .option("--every <time>", "how often all is compared, beside what is told of", "30s")
    .option("--key <file>", "sign policies with this private key, for OUTRIGGER_POLICY_KEYS")
    .option("--strict", "refuse policies of which lint warns")
    .option("--self-heal", "change back what others change in Redis")
    .addOption(
      new Option("--on-delete <what>", "what becomes of the layer of a service that is not declared any more")
        .choices(["keep", "remove"])
        .default("keep"),
    )
    .option("--author <name>", "for the history; default: OUTRIGGER_AUTHOR, else outrigger sync")
    .option(...json)
    .action((options: SyncOptions) =>
      choose(async () => (await import("./sync.ts")).syncPolicies(terminal, options)),
    );
}
