// Opens the sessions in Redis for one command.
import { loadConfig } from "../app/environment.ts";
import { SessionRing } from "./session-ring.ts";
import type { Terminal } from "./terminal.ts";
import { withStore } from "./with-store.ts";

/**
 * @param work does the command's part; its result is the exit code
 * @returns that, 1 when Redis cannot be used, 2 without REDIS_URL; throws ConfigError
 */
export async function withSessionRing(
  terminal: Terminal,
  work: (ring: SessionRing) => Promise<number>,
): Promise<number> {
  const use = { name: "sessions", because: "sidecars hear of ended sessions through Redis" };
  return await withStore(terminal, loadConfig(terminal.env), use, (store) => work(new SessionRing(store)));
}
