// Runs load on a contender once: with wrk where it fits, else with the project's own generator; both send the same
// bytes.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { folder, pause, start, type Started } from "./processes.ts";
import {
  type GeneratorOrder,
  type LoadResult,
  pathStep,
  requestStart,
  requestTails,
  type Traffic,
} from "./requests.ts";

export interface LoadTools {
  /** Path of wrk, if it is installed. */
  readonly wrk: string | undefined;
  readonly cores: string | undefined;
}

let runs = 0;

/** Rejects if the generator itself fails. */
export async function runLoad(
  traffic: Traffic,
  port: number,
  seconds: number,
  tools: LoadTools,
): Promise<LoadResult> {
  const plain = traffic.kind === "closed" && traffic.bodyBytes === undefined && !traffic.newConnections;
  if (tools.wrk !== undefined && plain) return runWrk(tools.wrk, { traffic, port, seconds }, tools.cores);
  const output = await startGenerator(traffic, port, seconds, tools).end;
  return JSON.parse(output) as LoadResult;
}

export function startGenerator(traffic: Traffic, port: number, seconds: number, tools: LoadTools): Started {
  runs += 1;
  const order: GeneratorOrder = { traffic, port, seconds, run: String(runs) };
  const program = join(import.meta.dirname, "generator.ts");
  return start(process.execPath, [program, JSON.stringify(order)], { cores: tools.cores });
}

async function runWrk(
  wrk: string,
  { traffic, port, seconds }: Omit<GeneratorOrder, "run">,
  cores: string | undefined,
): Promise<LoadResult> {
  runs += 1;
  const script = join(folder, `load-${runs}.lua`);
  writeFileSync(script, luaScript(traffic, String(runs)));
  // By default, wrk counts requests over two seconds as failed: thousands of connections on a busy machine take longer.
  const waits = ["--timeout", "60s"];
  const args = [
    "-t1",
    `-c${traffic.connections}`,
    "-d1h",
    ...waits,
    "-s",
    script,
    `http://127.0.0.1:${port}`,
  ];
  const load = start(wrk, args, { cores });
  // wrk takes only whole seconds, but ends in order when it is interrupted.
  await Promise.race([pause(seconds * 1000), load.end]);
  load.interrupt();
  // On a busy machine, a signal that arrives before wrk sleeps ends its connections, but not its sleep of an hour: so
  // it is repeated.
  const again = setInterval(() => load.interrupt(), 500);
  const output = await load.end.finally(() => clearInterval(again));
  const counted = JSON.parse(/\{.*\}\s*$/u.exec(output)?.[0] ?? "{}") as Record<string, number>;
  const { requests = 0, bytes = 0, status = 0, ...broken } = counted;
  const sockets = Object.values(broken).reduce((sum, count) => sum + count, 0);
  return {
    requests: requests - status,
    bytes,
    failures: status + sockets,
    failure: status > 0 ? "an answer that is not 2xx" : sockets > 0 ? JSON.stringify(broken) : "",
    p50Ms: undefined,
    p99Ms: undefined,
  };
}

function luaScript(traffic: Traffic, run: string): string {
  const tails = requestTails(traffic).map((tail) => JSON.stringify(tail));
  const { everyUrlNew, numberedPaths } = traffic;
  const number =
    numberedPaths === undefined
      ? everyUrlNew && ".. n "
      : `.. string.format("%d", (n * ${pathStep}) % ${numberedPaths}) `;
  return `local n = 0
local tails = { ${tails.join(", ")} }
function request()
  n = n + 1
  return ${JSON.stringify(requestStart(traffic, run))} ${number ?? ""}.. tails[n % #tails + 1]
end
function done(summary)
  local e = summary.errors
  print(string.format('{"requests":%d,"bytes":%d,"status":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d}',
    summary.requests, summary.bytes, e.status, e.connect, e.read, e.write, e.timeout))
end
`;
}
