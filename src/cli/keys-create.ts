// `outrigger keys create`: makes an API key and prints it, once and never again.
import { parseDuration } from "../language/duration.ts";
import type { Terminal } from "./terminal.ts";
import { withKeyRing } from "./with-key-ring.ts";

export interface CreateOptions {
  readonly user: string;
  readonly plan?: string;
  readonly scopes?: string;
  readonly expires?: string;
  readonly json?: true;
}

/** Prints the key on stdout and its id on stderr. @returns the exit code */
export async function createKey(terminal: Terminal, options: CreateOptions): Promise<number> {
  const lifetimeMs = options.expires === undefined ? undefined : parseDuration(options.expires);
  if (options.expires !== undefined && (lifetimeMs === undefined || lifetimeMs === 0)) {
    terminal.err("--expires takes a length of time such as 90d, 24h or 30m\n");
    return 2;
  }
  const scopes = (options.scopes ?? "").split(",").map((scope) => scope.trim());
  return await withKeyRing(terminal, async (ring) => {
    const { key, record } = await ring.create({
      userId: options.user,
      scopes: scopes.filter((scope) => scope !== ""),
      ...(options.plan !== undefined && { plan: options.plan }),
      ...(lifetimeMs !== undefined && { lifetimeMs }),
    });
    if (options.json) {
      terminal.out(`${JSON.stringify({ key, ...record }, null, 2)}\n`);
      return 0;
    }
    terminal.out(`${key}\n`);
    const end = record.expiresAt === undefined ? "does not expire" : `expires ${String(record.expiresAt)}`;
    terminal.err(`id ${record.id}, user ${record.userId}, ${end}. The key is not shown again.\n`);
    return 0;
  });
}
