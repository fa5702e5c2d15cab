// `outrigger keys create`: makes an API key and prints it this one time.
import type { CommandContext } from "../../../src/plugin-api/contract.ts";
import { parseDuration } from "../../../src/language/duration.ts";
import { withKeyRing } from "./with-key-ring.ts";

export interface CreateOptions {
  readonly user: string;
  readonly plan: string | undefined;
  readonly scopes: string | undefined;
  readonly expires: string | undefined;
  /** A file with the private key that signs the record. */
  readonly key: string | undefined;
}

/**
 * Prints the key on stdout and its id on stderr.
 * @returns the exit code
 */
export async function createKey(context: CommandContext, options: CreateOptions): Promise<number> {
  const lifetimeMs = options.expires === undefined ? undefined : parseDuration(options.expires);
  if (options.expires !== undefined && (lifetimeMs === undefined || lifetimeMs === 0)) {
    context.err("--expires takes a length of time such as 90d, 24h or 30m\n");
    return 2;
  }
  const scopes = (options.scopes ?? "").split(",").map((scope) => scope.trim());
  return await withKeyRing(
    context,
    async (ring) => {
      const { key, record } = await ring.create({
        userId: options.user,
        scopes: scopes.filter((scope) => scope !== ""),
        ...(options.plan !== undefined && { plan: options.plan }),
        ...(lifetimeMs !== undefined && { lifetimeMs }),
      });
      if (context.json) {
        context.out(`${JSON.stringify({ key, ...record }, null, 2)}\n`);
        return 0;
      }
      context.out(`${key}\n`);
      const end = record.expiresAt === undefined ? "does not expire" : `expires ${String(record.expiresAt)}`;
      context.err(`id ${record.id}, user ${record.userId}, ${end}. The key is not shown again.\n`);
      return 0;
    },
    options.key,
  );
}
