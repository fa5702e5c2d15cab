// Reads figures of a Redis server from its own accounts: CPU of its process, and bytes and commands in and out.
import type { Redis } from "ioredis";

export interface RedisReading {
  readonly atMono: number;
  readonly cpuMs: number;
  readonly commands: number;
  readonly inBytes: number;
  readonly outBytes: number;
  readonly beats: number;
  readonly connections: number;
  readonly usedMiB: number;
  readonly residentMiB: number;
}

export async function readRedis(cli: Redis): Promise<RedisReading> {
  const text = await cli.info("clients", "memory", "cpu", "stats", "commandstats");
  const field = (name: string): number => Number(new RegExp(`^${name}:([\\d.]+)`, "mu").exec(text)?.[1] ?? 0);
  // The one command of a heartbeat that nothing else sends.
  const beats = Number(/^cmdstat_zcount:calls=(\d+)/mu.exec(text)?.[1] ?? 0);
  return {
    atMono: performance.now(),
    cpuMs: (field("used_cpu_user") + field("used_cpu_sys")) * 1_000,
    commands: field("total_commands_processed"),
    inBytes: field("total_net_input_bytes"),
    outBytes: field("total_net_output_bytes"),
    beats,
    connections: field("connected_clients") - 1,
    usedMiB: field("used_memory") / 1_048_576,
    residentMiB: field("used_memory_rss") / 1_048_576,
  };
}

/** Calls and CPU of each command since the reset; figures of scripts include the commands they ran. */
export async function commandTable(cli: Redis): Promise<string[]> {
  const lines = (await cli.info("commandstats")).split("\r\n");
  return lines
    .flatMap((line) => {
      const [, name = "", calls = "", us = ""] = /^cmdstat_([^:]+):calls=(\d+),usec=(\d+)/u.exec(line) ?? [];
      return name === "" ? [] : [{ name, calls: Number(calls), us: Number(us) }];
    })
    .toSorted((a, b) => b.us - a.us)
    .slice(0, 12)
    .map(({ name, calls, us }) => `${name}: ${calls} calls, ${(us / calls).toFixed(1)} µs each`);
}
