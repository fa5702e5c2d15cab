// Runs `outrigger completion SHELL`: prints a script that completes commands and options, generated from the commands
// themselves.
import type { Command } from "commander";
import type { Terminal } from "./terminal.ts";

export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

/** The words that may follow each command path: commands and options. */
function wordsOf(program: Command): [string, string[]][] {
  const rows: [string, string[]][] = [];
  const add = (command: Command, path: string): void => {
    const commands = command.commands.map((each) => each.name());
    const options = command.options.flatMap(({ long }) => long ?? []);
    rows.push([path, [...commands, ...options, "--help"]]);
    for (const each of command.commands) add(each, `${path} ${each.name()}`.trim());
  };
  add(program, "");
  return rows;
}

/** In bash and zsh the script finds the command path by adding words as long as the table knows the result. */
function bashText(rows: readonly [string, string[]][]): string {
  const cases = rows.map(([path, words]) => `    "${path}") words="${words.join(" ")}" ;;`).join("\n");
  const known = rows.map(([path]) => `"${path}"`).join("|");
  return `_outrigger() {
  local current="\${COMP_WORDS[COMP_CWORD]}" at="" next word words=""
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    next="\${at:+$at }$word"
    case "$next" in ${known}) at="$next" ;; esac
  done
  case "$at" in
${cases}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _outrigger outrigger
`;
}

const quoted = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;

function fishText(program: Command, rows: readonly [string, string[]][]): string {
  const lines: string[] = [];
  const add = (command: Command, path: string): void => {
    const here = `complete -c outrigger -n ${quoted(`__outrigger_at ${path}`.trim())}`;
    for (const each of command.commands)
      lines.push(`${here} -f -a ${quoted(each.name())} -d ${quoted(each.description())}`);
    for (const { long, description } of command.options)
      if (long) lines.push(`${here} -l ${long.slice(2)} -d ${quoted(description)}`);
    for (const each of command.commands) add(each, `${path} ${each.name()}`.trim());
  };
  add(program, "");
  const known = rows.map(([path]) => quoted(path)).join(" ");
  return `function __outrigger_at
  set -l at ""
  for word in (commandline -opc)[2..-1]
    set -l next (string trim "$at $word")
    contains -- "$next" ${known}; and set at $next
  end
  test "$at" = "$argv"
end
${lines.join("\n")}
`;
}

/** @returns the exit code */
export function printCompletion(terminal: Terminal, program: Command, shell: Shell): Promise<number> {
  const rows = wordsOf(program);
  if (shell === "fish") terminal.out(fishText(program, rows));
  else if (shell === "bash") terminal.out(bashText(rows));
  else terminal.out(`#compdef outrigger\nautoload -U +X bashcompinit && bashcompinit\n${bashText(rows)}`);
  return Promise.resolve(0);
}
