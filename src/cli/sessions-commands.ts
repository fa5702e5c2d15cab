// The `sessions` commands, their arguments and options.
import type { Command } from "commander";
import type { ListOptions } from "./sessions-list.ts";
import type { RevokeOptions } from "./sessions-revoke.ts";
import type { Terminal } from "./terminal.ts";

const json = ["--json", "print JSON"] as const;

/** @param choose takes what is to be run once the arguments are right */
export function addSessionsCommands(
  program: Command,
  terminal: Terminal,
  choose: (run: () => Promise<number>) => void,
): void {
  const sessions = program.command("sessions").description("work on browser sessions");
  sessions
    .command("list")
    .description('print the sessions that lie in Redis (`login.sessions: "redis"`)')
    .option("--user <id>", "this user's alone")
    .option(...json)
    .action((options: ListOptions) =>
      choose(async () => (await import("./sessions-list.ts")).listSessions(terminal, options)),
    );
  sessions
    .command("revoke")
    .description("end one session, or all of a user, those in cookies too")
    .argument("[id]")
    .option("--user <id>", "every session of this user")
    .option(...json)
    .action((id: string | undefined, options: RevokeOptions) =>
      choose(async () => (await import("./sessions-revoke.ts")).revokeSessions(terminal, id, options)),
    );
}
