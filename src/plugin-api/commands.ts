// Defines the commands that a plugin adds to the command line (`outrigger keys create`): their options, as plain data,
// and the context that they run in. A sidecar that serves loads none of them.
import type { Store, StoreSeals } from "./store.ts";

/** An option `--name`, an option with a value `--name <value>`, or a positional argument. */
export interface CommandOption {
  readonly about: string;
  /** Name of the value in the usage text; absent = the option is a flag and has no value. */
  readonly value?: string;
  /** The option is a positional argument. A command can have one. */
  readonly positional?: true;
  readonly required?: true;
  /** May be given several times; all values count. */
  readonly repeatable?: true;
  readonly default?: string;
}

/** Type of the value that `run` gets for an option. */
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

/** Signs records. A signature holds only for the Redis key (without the prefix) that it was made for. */
export interface RecordSigner {
  sign(key: string, record: unknown): Promise<string>;
  /** @returns whether one of the accepted keys signed this text for this Redis key */
  isSigned(key: string, text: string): Promise<boolean>;
}

/** The Redis store, opened for one command. */
export interface CommandStore {
  readonly store: Store;
  /** Absent without `OUTRIGGER_STORE_KEYS`. */
  readonly seals: StoreSeals | undefined;
  /**
   * Makes a signer. Rejects when the file cannot be used; `withStore` then prints why and resolves with 1.
   * @param file file with the private key of one of `OUTRIGGER_POLICY_KEYS`
   */
  signer(file: string): Promise<RecordSigner>;
}

/** What a command has to work with. The values come from the environment of the user who runs it. */
export interface CommandContext {
  /** `OUTRIGGER_SERVICE` */
  readonly service: string;
  /** `OUTRIGGER_REGION` */
  readonly region: string | undefined;
  /** `--json`, which every command takes: print output for programs. */
  readonly json: boolean;
  /** Writes to stdout: the result of the command. */
  out(text: string): void;
  /** Writes to stderr: every other message. */
  err(text: string): void;
  /** Writes a table to stdout. Characters that would move the cursor or colour the terminal are replaced by `?`. */
  table(head: readonly string[], rows: readonly (readonly string[])[]): void;
  /** A secret that the definition declares. */
  secret(name: string): string | undefined;
  /**
   * Runs `work` with a store.
   * @param use `because`: why the command needs Redis, shown to a user who has not set it up; `service`: the service
   * that `<service>` in `needs` stands for, when it is not the context's own
   * @param work resolves with the exit code
   * @returns the exit code of `work`; 1 when Redis cannot be used, 2 without `REDIS_URL`. Either case is reported to
   * the user
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
  /**
   * @param given the values of `options`, by name
   * @returns the exit code: 0 = success, 1 = failure or "no", 2 = wrong usage
   */
  run(context: CommandContext, given: Readonly<Record<string, unknown>>): Promise<number>;
}

/** `outrigger <name> …` */
export interface CommandGroup {
  readonly name: string;
  readonly about: string;
  readonly commands: readonly PluginCommand[];
}

/** Types a command: the type of `given` in `run` follows from its `options`. */
export function defineCommand<const Options extends Readonly<Record<string, CommandOption>>>(command: {
  readonly name: string;
  readonly about: string;
  readonly options: Options;
  run(context: CommandContext, given: GivenOptions<Options>): Promise<number>;
}): PluginCommand {
  return command;
}
