// What Redis is asked for by everybody, by its command MONITOR. On a socket of its own: ioredis takes commands that come
// in the same read as MONITOR's answer for answers that nobody waits for, and fails.
import { once } from "node:events";
import { connect } from "node:net";
import { createInterface } from "node:readline";

export interface RedisMonitor {
  /** The commands so far, with what they were given. */
  readonly commands: readonly string[];
  close(): void;
}

/** @returns once every command from now on is seen */
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
