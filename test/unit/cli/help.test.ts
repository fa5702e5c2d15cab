// The `--help` text of every command. `node test/unit/cli/help.test.ts --write` writes an intended change to help.txt.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Command } from "commander";
import { createProgram } from "../../../src/cli/program.ts";

const file = join(import.meta.dirname, "help.txt");

/** Wide as one terminal, whatever the one here is. */
async function helpOfAll(): Promise<string> {
  const program = await createProgram({ env: {}, out: () => {}, err: () => {} }, () => {});
  const texts: string[] = [];
  const add = (command: Command, name: string): void => {
    command.configureHelp({ helpWidth: 100 });
    texts.push(`$ ${name} --help\n${command.helpInformation()}`);
    for (const sub of command.commands) add(sub, `${name} ${sub.name()}`);
  };
  add(program, "outrigger");
  return texts.join("\n");
}

const now = await helpOfAll();
if (process.argv.includes("--write")) writeFileSync(file, now);

test("the help of every command is what help.txt holds", () => {
  assert.equal(now, readFileSync(file, "utf8"));
});

test("every command and option says what it is for", () => {
  const bare = now.split("\n").filter((line) => /^ {2}-{1,2}\S+(?: [<[]\S+[>\]])?$/.test(line));
  assert.deepEqual(bare, []);
});
