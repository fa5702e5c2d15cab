// Opens what the audit commands read: files, or the stream in Redis, and the keys that open personal data in the
// records.
import { loadConfig } from "../app/environment.ts";
import { FileShelf, KeyDirectory, type KeyShelf, RedisShelf } from "../audit/key-directory.ts";
import { AuditKey } from "../audit/key.ts";
import { fileLines, streamLines, trailFiles } from "../audit/read-trail.ts";
import type { TrailLine } from "../audit/verify.ts";
import { type Config, ConfigError } from "../config/config.ts";
import type { RedisStore } from "../redis/store.ts";
import type { Terminal } from "./terminal.ts";
import { withStore } from "./with-store.ts";

export interface SourceOptions {
  readonly service?: string;
  readonly redis?: true;
}

export interface AuditSource {
  readonly config: Config;
  /** undefined without REDIS_URL. */
  readonly store: RedisStore | undefined;
  /** Whether the oldest records are dropped automatically, as in the stream in Redis. */
  readonly trimmed: boolean;
  lines(): AsyncIterable<TrailLine>;
  /** @throws ConfigError without OUTRIGGER_AUDIT_KEY */
  directory(): KeyDirectory;
}

/**
 * @param files files of one trail or several; empty = those of OUTRIGGER_AUDIT_FILE, else the stream
 * @returns the exit code of `work`; 1 when something cannot be read, 2 when it is not clear what to read
 */
export async function withAudit(
  terminal: Terminal,
  files: readonly string[],
  options: SourceOptions,
  work: (source: AuditSource) => Promise<number>,
): Promise<number> {
  const { service } = options;
  const config = loadConfig({
    ...terminal.env,
    ...(service === undefined ? {} : { OUTRIGGER_SERVICE: service }),
  });
  const inRedis = options.redis === true || (files.length === 0 && config.auditFile === undefined);
  if (inRedis && files.length > 0) {
    terminal.err("name files, or --redis: not both\n");
    return 2;
  }
  const given = files.length > 0 ? files : config.auditFile === undefined ? [] : [config.auditFile];
  const paths = inRedis ? [] : (await Promise.all(given.map(trailFiles))).flat();
  const run = async (store: RedisStore | undefined): Promise<number> => {
    try {
      return await work(sourceOf(config, store, paths, inRedis));
    } catch (error) {
      const said = complaintOf(error);
      if (said === undefined) throw error;
      terminal.err(`${said}\n`);
      return 1;
    }
  };
  if (!inRedis && config.redis === undefined) return await run(undefined);
  const because = "name the files of the trail, or the Redis that holds it";
  return await withStore(terminal, config, { name: "audit", because }, run);
}

function sourceOf(
  config: Config,
  store: RedisStore | undefined,
  paths: readonly string[],
  inRedis: boolean,
): AuditSource {
  return {
    config,
    store,
    trimmed: inRedis,
    async *lines() {
      if (inRedis && store !== undefined) yield* streamLines(store, config.service);
      for (const path of paths) yield* fileLines(path);
    },
    directory() {
      const { auditKey, service } = config;
      if (auditKey === undefined)
        throw new ConfigError(["OUTRIGGER_AUDIT_KEY: is not set: it opens what is recorded of persons"]);
      const shelves: KeyShelf[] = paths.map((path) => new FileShelf(path));
      if (store !== undefined) shelves.unshift(new RedisShelf(store, service));
      return new KeyDirectory(
        auditKey.map((jwk) => new AuditKey(jwk)),
        shelves,
      );
    },
  };
}

function complaintOf(error: unknown): string | undefined {
  const { code, path } = error as NodeJS.ErrnoException;
  return code !== undefined && path !== undefined ? `${path}: cannot be read: ${code}` : undefined;
}
