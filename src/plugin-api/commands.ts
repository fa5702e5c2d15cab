// The commands that a plugin brings for the command line (`outrigger keys create`): what they take, as plain data, and
// what they are given to work with. A sidecar that serves loads none of them.
import type { Store, StoreSeals } from "./store.ts";

/** `--name`, with a value `--name <value>`; or an argument that has no name in front of it. */
export interface CommandOption {
  readonly about: string;
  /** What its value is called in the usage; absent = it has none, and is there or not. */
  readonly value?: string;
  /** It is given as an argument: one a command. */
  readonly positional?: true;
  readonly required?: true;
  /** May be given several times: all values count. */
  readonly repeatable?: true;
  readonly default?: string;
}

/** What was given for an option. */
type Given<Option extends CommandOption> = Option extends { readonly repeatable: true }
  ? readonly string[]
  : Option extends { readonly required: true } | { readonly default: string }
    ? string
    : Option extends { readonly value: string } | { readonly positional: true }
      ? string | undefined
      : boolean;

export type GivenOptions<Options extends Readonly<Record<string, CommandOption>>> = {
  readonly [Name in keyof Options]: Given<Options[Name]>;
};

/** Signs records for where they lie in Redis, below the prefix. */
export interface RecordSigner {
  sign(key: string, record: unknown): Promise<string>;
  /** @returns whether a key that counts has signed the text for there */
  isSigned(key: string, text: string): Promise<boolean>;
}

/** Redis, opened for one command. */
export interface CommandStore {
  readonly store: Store;
  /** Absent without `OUTRIGGER_STORE_KEYS`. */
  readonly seals: StoreSeals | undefined;
  /**
   * @param file with the private key of one of `OUTRIGGER_POLICY_KEYS`
   * Rejects when it cannot be used; `withStore` tells why, and is 1 then
   */
  signer(file: string): Promise<RecordSigner>;
}

/** What a command has to work with, by the settings of whoever types it. */
export interface CommandContext {
  /** `OUTRIGGER_SERVICE` */
  readonly service: string;
  /** `OUTRIGGER_REGION` */
  readonly region: string | undefined;
  /** `--json`, which every command takes: what it prints is for programs. */
  readonly json: boolean;
  /** Onto stdout: what was asked for. */
  out(text: string): void;
  /** Onto stderr: what is said besides. */
  err(text: string): void;
  /** Onto stdout, in columns; what would move the cursor or colour the terminal is not printed. */
  table(head: readonly string[], rows: readonly (readonly string[])[]): void;
  /** A secret that the definition declares. */
  secret(name: string): string | undefined;
  /**
   * @param use why the command needs Redis, for a user who has not set it; and whose keys `<service>` in `needs` stands
   * for, when that is not `service`
   * @param work its result is the exit code
   * @returns that; 1 when Redis cannot be used, 2 without `REDIS_URL`: both are told
   */
  withStore(
    use: { readonly because: string; readonly service?: string },
    work: (opened: CommandStore) => Promise<number>,
  ): Promise<number>;
}

export interface PluginCommand {
  readonly name: string;
  readonly about: string;
  /** By name, in camel case: `redisUrl` is typed `--redis-url`. */
  readonly options: Readonly<Record<string, CommandOption>>;
  /** @param given what `options` name @returns the exit code: 0 ok, 1 no, 2 usage */
  run(context: CommandContext, given: Readonly<Record<string, unknown>>): Promise<number>;
}

/** `outrigger <name> …` */
export interface CommandGroup {
  readonly name: string;
  readonly about: string;
  readonly commands: readonly PluginCommand[];
}

/** Types a command: what `run` is given follows from its `options`. */
export function defineCommand<const Options extends Readonly<Record<string, CommandOption>>>(command: {
  readonly name: string;
  readonly about: string;
  readonly options: Options;
  run(context: CommandContext, given: GivenOptions<Options>): Promise<number>;
}): PluginCommand {
  return command;
}
