// Declares the `audit` commands with their arguments and options.
import type { Command } from "commander";
import { type Choose, json } from "./command-parts.ts";
import type { SearchOptions, SubjectOptions } from "./audit-search.ts";
import type { AuditVerifyOptions } from "./audit-verify.ts";
import type { Terminal } from "./terminal.ts";

const files = ["[files...]", "of a trail; default: OUTRIGGER_AUDIT_FILE, else the stream in Redis"] as const;
const redis = ["--redis", "the stream in Redis"] as const;
const service = ["--service <name>", "whose trail in Redis; default: OUTRIGGER_SERVICE"] as const;
const subject = ["--subject <user>", "the user's id"] as const;
const issuer = ["--issuer <url>", "who vouches for the user, where that is a token's issuer"] as const;

export function addAuditCommands(program: Command, terminal: Terminal, choose: Choose): void {
  const audit = program.command("audit").description("verify and search the audit trail, forget a person");
  audit
    .command("verify")
    .description("find what was removed, changed, moved or made up in a trail, and where")
    .argument(...files)
    .option(...redis)
    .option("--keys <jwks>", "public keys, inline or a file, beside that of OUTRIGGER_AUDIT_KEY")
    .option(...service)
    .option(...json)
    .action((paths: string[], options: AuditVerifyOptions) =>
      choose(async () => (await import("./audit-verify.ts")).verifyAudit(terminal, paths, options)),
    );
  addSearch(audit, terminal, choose);
  audit
    .command("export")
    .description("print all records of a person, with what is sealed in them, as JSON lines")
    .argument(...files)
    .requiredOption(...subject)
    .option(...issuer)
    .option(...redis)
    .option(...service)
    .action((paths: string[], options: SubjectOptions) =>
      choose(async () => (await import("./audit-search.ts")).exportSubject(terminal, paths, options)),
    );
  audit
    .command("forget")
    .description("delete a person's keys: what records hold of them is gone, and the chain still holds")
    .argument(...files)
    .requiredOption(...subject)
    .option(...issuer)
    .option(...redis)
    .option(...service)
    .option(...json)
    .action((paths: string[], options: SubjectOptions) =>
      choose(async () => (await import("./audit-search.ts")).forgetSubject(terminal, paths, options)),
    );
}

function addSearch(audit: Command, terminal: Terminal, choose: Choose): void {
  audit
    .command("search")
    .description("print the last records that match, oldest first")
    .argument(...files)
    .option(...subject)
    .option(...issuer)
    .option("--since <time>", "from then on: a time, or how long ago, e.g. 2h")
    .option("--until <time>", "until then")
    .option("--route <pattern>", "the route's path, as the policy has it")
    .option("--decision <word>", "allowed, answered, refused, failed, revoked, unanswered")
    .option("--status <list>", "5xx, 404 or 400-499, several with commas")
    .option("--kind <word>", "access, change, start, gap, pruned, head")
    .option("--limit <number>", "how many at most; default: 100")
    .option(...redis)
    .option(...service)
    .option(...json)
    .action((paths: string[], options: SearchOptions) =>
      choose(async () => (await import("./audit-search.ts")).searchAudit(terminal, paths, options)),
    );
}
