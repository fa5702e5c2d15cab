// Declares the `policy` commands that try a policy before it comes into force: by its tests, by recorded requests, by a
// service's operations.
import type { Command } from "commander";
import { type Choose, json } from "./command-parts.ts";
import type { CoverageCommandOptions } from "./policy-coverage.ts";
import type { ReplayOptions } from "./policy-replay.ts";
import type { TestOptions } from "./policy-test.ts";
import type { Terminal } from "./terminal.ts";

export function addTrialCommands(policy: Command, terminal: Terminal, choose: Choose): void {
  policy
    .command("test")
    .description("run the tests that policy files carry, as every sidecar does before it takes one")
    .argument("<file...>")
    .option("--over <file>", "each file is a service's layer over this shared policy")
    .option("--service <name>", "whose policy (default: every service that it names, and one for all others)")
    .option(...json)
    .action((files: string[], options: TestOptions) =>
      choose(async () => (await import("./policy-test.ts")).testPolicies(terminal, files, options)),
    );
  policy
    .command("replay")
    .description("run requests of the past (access log) through a policy file: whose answer would change")
    .argument("<file>")
    .option(
      "--from <log>",
      "lines of the access log out of this file, - for standard input (default: the streams in Redis)",
    )
    .option("--service <name>", "requests to this service alone")
    .option("--since <time>", "of the streams: so far back (default: 1h)")
    .option("--over <file>", "the file is the services' layer over this shared policy")
    .option("--strict", "exit 1 where an answer changes")
    .option(...json)
    .action((file: string, options: ReplayOptions) =>
      choose(async () => (await import("./policy-replay.ts")).replayPolicy(terminal, file, options)),
    );
  addCoverageCommand(policy, terminal, choose);
}

function addCoverageCommand(policy: Command, terminal: Terminal, choose: Choose): void {
  policy
    .command("coverage")
    .description("print whom a policy lets reach which operation, with its rules, limits and tests about it")
    .argument("<file>")
    .option("--openapi <file>", "operations of this OpenAPI 3 document, - for standard input")
    .option(
      "--from-logs [file]",
      "or those of the services in these lines of the access log (default: the streams in Redis)",
    )
    .option("--since <time>", "of the streams: so far back (default: 1h)")
    .option("--over <file>", "the file is a service's layer over this shared policy")
    .option("--service <name>", "whose policy (default: every service that is named, and one for all others)")
    .option("--require <parts>", "exit 1 where an operation lacks one of these: rule,limit,test")
    .option("--strict", "exit 1 where an operation has none of them")
    .option(...json)
    .action((file: string, options: CoverageCommandOptions) =>
      choose(async () => (await import("./policy-coverage.ts")).coverPolicy(terminal, file, options)),
    );
}
