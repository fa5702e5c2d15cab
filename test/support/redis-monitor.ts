// Shows the commands of all clients of a Redis, through its command MONITOR. It uses a socket of its own: if commands
// come in the same read as the answer to MONITOR, ioredis takes them for unexpected answers, and fails.
import { once } from "node:events";
import { connect } from "node:net";
import { createInterface } from "node:readline";

export interface RedisMonitor {
  /** The commands so far, with their arguments. */
  readonly commands: readonly string[];
  close(): void;
}

/** Resolves once every command from now on is seen. */
export async function monitorRedis(url: string): Promise<RedisMonitor> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname).on("error", () => {});
  const commands: string[] = [];
  const lines = createInterface({ input: socket });
  socket.write("MONITOR\r\n");
  await once(lines, "line");
  lines.on("line", (line: string) => {
    const words = [...line.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, word]) => word);
    commands.push(words.join(" "));
  });
  return { commands, close: () => void socket.destroy() };
}
