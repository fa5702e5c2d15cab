// Writes the manual page outrigger(1) from the text of `--help`: `node deploy/man.ts > outrigger.1`.
import type { Command } from "commander";
import { createProgram } from "../src/cli/program.ts";
import { version } from "../src/version.ts";

/** Escapes text for troff: no line begins a request, and `-` stays the character that is typed. */
function troff(text: string): string {
  return text
    .replaceAll("\\", String.raw`\e`)
    .replaceAll("-", String.raw`\-`)
    .replace(/^([.'])/gm, String.raw`\&$1`);
}

function partOf(command: Command, name: string): string[] {
  const title = `.SS ${troff(`${name} ${command.usage()}`.trim())}`;
  const options = command.options.map(
    ({ flags, description }) => `.TP\n.B ${troff(flags)}\n${troff(description)}`,
  );
  const below = command.commands.flatMap((each) => partOf(each, `${name} ${each.name()}`));
  return [title, troff(command.description()), ...options, ...below];
}

export async function manPage(): Promise<string> {
  const program = await createProgram({ env: {}, out: () => {}, err: () => {} }, () => {});
  const commands = program.commands.flatMap((each) => partOf(each, each.name()));
  return `.TH OUTRIGGER 1 "" "outrigger ${version}" "User Commands"
.SH NAME
outrigger ${troff("- " + program.description().replace(/\.$/, ""))}
.SH SYNOPSIS
.B outrigger
[command] [options]
.SH DESCRIPTION
Without a command it runs the sidecar, as the environment says; ${troff("outrigger config")} prints every setting.
.SH COMMANDS
${commands.join("\n")}
.SH EXIT STATUS
0: yes; 1: no (invalid, refused, not found), or a fault while running; 2: wrong usage or settings.
.SH SIGNALS
SIGTERM drains; SIGHUP reads the files of policy, certificates and secrets again.
`;
}

if (import.meta.main) process.stdout.write(await manPage());
