// Adds the commands of plugins to commander, and makes the context that each works with.
import { Argument, type Command, Option } from "commander";
import { loadConfig } from "../app/environment.ts";
import { registry } from "../app/registry.ts";
import type {
  CommandContext,
  CommandOption,
  PluginCommand,
  PluginDefinition,
} from "../plugin-api/contract.ts";
import { KeyFileRefusal } from "../plane/private-key.ts";
import { createSeals } from "../redis/seals.ts";
import { declaredSecrets, scopedSeals, scopedStore } from "../runtime/scoped-services.ts";
import { type Choose, json } from "./command-parts.ts";
import { printTable } from "./table.ts";
import type { Terminal } from "./terminal.ts";
import { withStore } from "./with-store.ts";

type Given = Readonly<Record<string, unknown>>;

export async function addPluginCommands(
  program: Command,
  terminal: Terminal,
  choose: Choose,
  plugins: readonly PluginDefinition[] = registry,
): Promise<void> {
  for (const plugin of plugins) {
    for (const { name, about, commands } of (await plugin.commands?.()) ?? []) {
      const group = program.command(name).description(about);
      for (const command of commands) {
        addCommand(group, command, (given) =>
          choose(() => command.run(contextOf(plugin, name, terminal, given["json"] === true), given)),
        );
      }
    }
  }
}

function addCommand(
  group: Command,
  { name, about, options }: PluginCommand,
  act: (given: Given) => void,
): void {
  const command = group.command(name).description(about);
  const all = Object.entries(options);
  const positional = all.find(([, option]) => option.positional);
  if (positional !== undefined) command.addArgument(argumentOf(...positional));
  for (const [key, option] of all) if (!option.positional) command.addOption(optionOf(key, option));
  command.option(...json);
  command.action((...parts: unknown[]) => {
    const found: Given = command.opts();
    const given: Record<string, unknown> = { json: found["json"] === true };
    for (const [key, option] of all) given[key] = option.positional ? parts[0] : valueOf(option, found[key]);
    act(given);
  });
}

function argumentOf(key: string, { about, required }: CommandOption): Argument {
  return new Argument(required ? `<${key}>` : `[${key}]`, about);
}

function optionOf(key: string, option: CommandOption): Option {
  const flag = `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  const made = new Option(option.value === undefined ? flag : `${flag} <${option.value}>`, option.about);
  if (option.required) made.makeOptionMandatory();
  if (option.default !== undefined) made.default(option.default);
  if (option.repeatable)
    made.argParser((value, before: readonly string[] | undefined) => [...(before ?? []), value]);
  return made;
}

function valueOf({ value, repeatable }: CommandOption, found: unknown): unknown {
  if (repeatable) return found ?? [];
  return value === undefined ? found === true : found;
}

/** Throws ConfigError. @param name name of the connection in CLIENT LIST, after `outrigger-` */
function contextOf(
  plugin: PluginDefinition,
  name: string,
  terminal: Terminal,
  json: boolean,
): CommandContext {
  const config = loadConfig(terminal.env);
  const secrets = declaredSecrets(plugin);
  return {
    service: config.service,
    region: config.region,
    json,
    out: (text) => terminal.out(text),
    err: (text) => terminal.err(text),
    table: (head, rows) => printTable(terminal, head, rows),
    secret(secret) {
      if (secrets.has(secret)) return config.secrets[secret];
      throw new Error(`plugin "${plugin.name}" declares no secret ${secret}`);
    },
    withStore({ because, service = config.service }, work) {
      return withStore(terminal, config, { name, because }, async (store) => {
        const seals = config.storeKeys && createSeals(config.storeKeys, config.keyPrefix, service);
        try {
          return await work({
            store: scopedStore(plugin, store, service),
            seals: seals && scopedSeals(plugin, seals),
            signer: async (file) =>
              (await import("./record-signer.ts")).createRecordSigner(config, store, file),
          });
        } catch (error) {
          if (!(error instanceof KeyFileRefusal)) throw error;
          terminal.err(`${error.message}\n`);
          return 1;
        }
      });
    },
  };
}
