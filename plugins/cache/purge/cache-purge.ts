// Runs `outrigger cache purge`: purges stored responses in Redis and at every sidecar of a service, within a second.
import type { CommandContext } from "../../../src/plugin-api/contract.ts";
import type { Purge } from "./purge.ts";
import { appendArguments, appendPurges, purgeLogKey } from "./purge-log.ts";

export interface PurgeOptions {
  readonly url: readonly string[];
  readonly prefix: readonly string[];
  readonly tag: readonly string[];
  readonly all: boolean;
  readonly soft: boolean;
  readonly service: string | undefined;
}

/** @returns the exit code: 1 when Redis is out of reach, 2 when nothing to purge was named, or without REDIS_URL */
export async function purgeCache(context: CommandContext, options: PurgeOptions): Promise<number> {
  const { service = context.service } = options;
  const { region = "" } = context;
  const purges = purgesOf(options, region);
  if (typeof purges === "string") {
    context.err(`${purges}\n`);
    return 2;
  }
  const because = "sidecars are told of purges through Redis";
  return await context.withStore({ because, service }, async ({ store, seals }) => {
    const key = purgeLogKey(service, region);
    const form = { key, seal: seals?.of("purges"), now: () => Date.now() };
    await store.run(appendPurges, [key], appendArguments(purges, form));
    tell(context, service, purges);
    return 0;
  });
}

function tell(context: CommandContext, service: string, purges: readonly Purge[]): void {
  if (context.json) context.out(`${JSON.stringify({ service, purges }, null, 2)}\n`);
  else
    for (const { kind, value, soft } of purges)
      context.out(`${soft ? "soft " : ""}${kind} ${value}`.trim() + "\n");
}

/** @returns the purges, or what is wrong with the options */
function purgesOf(options: PurgeOptions, region: string): Purge[] | string {
  const { soft } = options;
  const purges: Purge[] = [];
  for (const kind of ["url", "prefix"] as const) {
    for (const given of options[kind]) {
      const value = addressOf(given);
      if (value === undefined)
        return `--${kind} ${given}: is neither a path that begins with / nor an http URL`;
      purges.push({ kind, value, soft, region });
    }
  }
  for (const value of options.tag) purges.push({ kind: "tag", value, soft, region });
  if (options.all) purges.push({ kind: "all", value: "", soft, region });
  return purges.length === 0 ? "Nothing to purge: give --url, --prefix, --tag or --all" : purges;
}

/** @returns `/path?query` unchanged, an http URL as `host/path?query`; undefined for anything else */
function addressOf(text: string): string | undefined {
  if (text.startsWith("/")) return text;
  const url = /^https?:\/\//i.test(text) ? URL.parse(text) : null;
  return url === null ? undefined : `${url.host}${url.pathname}${url.search}`;
}
