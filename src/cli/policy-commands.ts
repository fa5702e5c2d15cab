// Declares the `policy` commands with their arguments and options.
import type { Command } from "commander";
import { type Choose, json } from "./command-parts.ts";
import type { ApplyOptions } from "./policy-apply.ts";
import type { CanaryEndOptions } from "./policy-canary-end.ts";
import type { HistoryOptions } from "./policy-history.ts";
import type { RotateOptions } from "./policy-rotate.ts";
import type { RollbackOptions } from "./policy-rollback.ts";
import type { ShowOptions } from "./policy-show.ts";
import type { KeygenOptions } from "./policy-keygen.ts";
import type { LintCommandOptions } from "./policy-lint.ts";
import type { CheckOptions } from "./policy-validate.ts";
import type { DiffOptions } from "./policy-diff.ts";
import type { ShadowReportOptions } from "./policy-shadow-report.ts";
import type { SignOptions } from "./policy-sign.ts";
import type { VerifyOptions } from "./policy-verify.ts";
import { addTrialCommands } from "./policy-trial-commands.ts";
import type { Terminal } from "./terminal.ts";

const service = [
  "--service <name>",
  "its layer over the shared policy, in place of the shared policy",
] as const;
const reason = ["--reason <text>", "why, for the history"] as const;
const author = [
  "--author <name>",
  "who, for the history; default: OUTRIGGER_AUTHOR, else user@host",
] as const;
const over = ["--over <file>", "check each file as a service's layer over this shared policy"] as const;
const strict = ["--strict", "take warnings of lint for errors"] as const;
const wait = [
  "--wait [time]",
  "until every live sidecar has it in force, at most so long: --wait=30s, the default",
] as const;

const key = ["--key <file>", "sign it with this private key, for OUTRIGGER_POLICY_KEYS"] as const;
const expires = ["--expires <time>", "signed for so long, e.g. 30d (default: for good)"] as const;
const epoch = [
  "--epoch <number>",
  "the epoch it is signed with (default: the time in seconds, or one more than what is there)",
] as const;

export function addPolicyCommands(program: Command, terminal: Terminal, choose: Choose): void {
  const policy = program.command("policy").description("work on policies");
  addCheckCommands(policy, terminal, choose);
  addTrialCommands(policy, terminal, choose);
  addShowCommands(policy, terminal, choose);
  addSigningCommands(policy, terminal, choose);
  addRotateCommand(policy, terminal, choose);
  addChangeCommands(policy, terminal, choose);
  addCanaryCommands(policy, terminal, choose);
  addHistoryCommand(policy, terminal, choose);
}

function addChangeCommands(policy: Command, terminal: Terminal, choose: Choose): void {
  canaryOptions(policy.command("apply"))
    .description("put a policy (YAML or JSON) in force everywhere, with a line in its history")
    .argument("<file>")
    .option(...service)
    .option(...reason)
    .option(...author)
    .option("--base <revision>", "only over this revision; default: the one there now")
    .option("--dry-run", "only check it and show what would change")
    .option(...key)
    .option(...expires)
    .option(...epoch)
    .option(...strict)
    .option(...wait)
    .option(...json)
    .action((file: string, options: ApplyOptions) =>
      choose(async () => (await import("./policy-apply.ts")).applyPolicy(terminal, file, options)),
    );
  policy
    .command("rollback")
    .description("restore an earlier revision, by default the one before, as a new one")
    .argument("[revision]")
    .option(...service)
    .option(...reason)
    .option(...author)
    .option("--accept-reported", "also one that no command has seen, on a sidecar's word")
    .option(...key)
    .option(...expires)
    .option(...epoch)
    .option(...wait)
    .option(...json)
    .action((revision: string | undefined, options: RollbackOptions) =>
      choose(async () => (await import("./policy-rollback.ts")).rollBackPolicy(terminal, revision, options)),
    );
}

function canaryOptions(apply: Command): Command {
  return apply
    .option("--canary <percents>", "to a part of the sidecars first, in steps: 10%, or 5%,25%,100%")
    .option("--traffic <percents>", "the same to a part of each sidecar's callers")
    .option("--services <names>", "with these: sidecars of these services alone try it")
    .option("--shadow", "it decides beside the policy in force, without effect: policy shadow-report")
    .option("--sample <percent>", "of the requests that a shadow looks at (default: 10%)")
    .option("--guard <guards>", "what it must not be worse at (default: errors<2x,denied<2x,p99<2x)")
    .option("--for <time>", "how long each step is watched (default: 5m), or a shadow goes on (24h)")
    .option("--min-requests <number>", "fewer in a step are too few to judge (default: 50)")
    .option("--every <time>", "how often sidecars report (default: 1s, of a shadow 5s)");
}

function addCanaryCommands(policy: Command, terminal: Terminal, choose: Choose): void {
  const end = (to: "promoted" | "aborted") => (options: CanaryEndOptions) =>
    choose(async () => (await import("./policy-canary-end.ts")).endCanary(terminal, to, options));
  policy
    .command("promote")
    .description("put the candidate of the canary or shadow that runs in force everywhere, now")
    .option(...reason)
    .option(...author)
    .option(...json)
    .action(end("promoted"));
  policy
    .command("abort")
    .description("end the canary or shadow that runs: every sidecar goes back to the policy as it is")
    .option(...reason)
    .option(...author)
    .option(...json)
    .action(end("aborted"));
  policy
    .command("shadow-report")
    .description("print what the candidate of a shadow would have done otherwise, over the fleet")
    .option("--strict", "exit 1 where anything differs")
    .option(...json)
    .action((options: ShadowReportOptions) =>
      choose(async () => (await import("./policy-shadow-report.ts")).reportShadow(terminal, options)),
    );
}

function addCheckCommands(policy: Command, terminal: Terminal, choose: Choose): void {
  policy
    .command("validate")
    .description("check policy files (YAML or JSON) as a sidecar in this environment would")
    .argument("<file...>")
    .option(...over)
    .option(...strict)
    .option(...json)
    .action((files: string[], options: CheckOptions) =>
      choose(async () => (await import("./policy-validate.ts")).validatePolicies(terminal, files, options)),
    );
  policy
    .command("lint")
    .description("print what policy files say and probably do not mean: open routes, rules that never match")
    .argument("[file...]")
    .option(...over)
    .option(...strict)
    .option("--codes", "print every code with its meaning, and no more")
    .option(...json)
    .action((files: string[], options: LintCommandOptions) =>
      choose(async () => (await import("./policy-lint.ts")).lintPolicies(terminal, files, options)),
    );
}

function addShowCommands(policy: Command, terminal: Terminal, choose: Choose): void {
  policy
    .command("schema")
    .description("print the JSON Schema of policies")
    .option(...json)
    .action(() => choose(async () => (await import("./policy-schema.ts")).printPolicySchema(terminal)));
  policy
    .command("show")
    .description("print the policy in Redis as it lies there")
    .option("--service <name>", "this service's layer; with --effective: what its sidecars enforce")
    .option("--effective", "the layer over the shared policy, each field with the document that set it")
    .option("--revision <number>", "an earlier one from the history")
    .option(...json)
    .action((options: ShowOptions) =>
      choose(async () => (await import("./policy-show.ts")).showPolicy(terminal, options)),
    );
  policy
    .command("diff")
    .description("print what a policy file would change in Redis: routes by path, options by name")
    .argument("<file>")
    .option(...service)
    .option(...json)
    .action((file: string, options: DiffOptions) =>
      choose(async () => (await import("./policy-diff.ts")).diffPolicy(terminal, file, options)),
    );
}

function addSigningCommands(policy: Command, terminal: Terminal, choose: Choose): void {
  policy
    .command("keygen")
    .description("make a key that signs policies: the private one into the file, the public one on stdout")
    .argument("<file>")
    .option(...json)
    .option("--public", "make none: print the public one of the key in the file")
    .action((file: string, options: KeygenOptions) =>
      choose(async () => (await import("./policy-keygen.ts")).generateKey(terminal, file, options)),
    );
  policy
    .command("sign")
    .description("check a policy file and print it signed, for OUTRIGGER_POLICY_KEYS; needs no Redis")
    .argument("<file>")
    .requiredOption("--key <file>", "the private key")
    .option("--service <name>", "signed as this service's layer, in place of the shared policy")
    .option("--over <file>", "with --service: the shared policy, whose extensions and locks count")
    .option(...expires)
    .option(...epoch)
    .option(...json)
    .action((file: string, options: SignOptions) =>
      choose(async () => (await import("./policy-sign.ts")).signFile(terminal, file, options)),
    );
  policy
    .command("verify")
    .description("check a signed policy file against OUTRIGGER_POLICY_KEYS, and print what it claims")
    .argument("<file>")
    .option("--service <name>", "as this service's layer, in place of the shared policy")
    .option("--keys <jwks>", "public keys, inline or a file, in place of OUTRIGGER_POLICY_KEYS")
    .option(...json)
    .action((file: string, options: VerifyOptions) =>
      choose(async () => (await import("./policy-verify.ts")).verifyFile(terminal, file, options)),
    );
}

function addRotateCommand(policy: Command, terminal: Terminal, choose: Choose): void {
  policy
    .command("rotate")
    .description("let further keys sign policies, or revoke some, by a document that a present key signs")
    .requiredOption("--key <file>", "a private key of OUTRIGGER_POLICY_KEYS, which stays")
    .option("--trust <jwks>", "public keys that may sign, too: inline or a file")
    .option("--revoke <kid...>", "keys that no longer may, by their thumbprint, which is the kid of keygen")
    .option("--accept-orphaned", "also where layers that lie in Redis are signed by no key that counts then")
    .option(...json)
    .action((options: RotateOptions) =>
      choose(async () => (await import("./policy-rotate.ts")).rotateKeys(terminal, options)),
    );
}

function addHistoryCommand(policy: Command, terminal: Terminal, choose: Choose): void {
  policy
    .command("history")
    .description("print the revisions, newest first: who, when, why")
    .option(...service)
    .option(...json)
    .action((options: HistoryOptions) =>
      choose(async () => (await import("./policy-history.ts")).printHistory(terminal, options)),
    );
}
