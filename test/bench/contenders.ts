// Starts everything that is compared: over the same upstream, on the contender's core, on a free port.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { nodeEnvironment } from "../../deploy/node-flags.ts";
import { freePort, startRedis } from "../support/redis.ts";
import { type Contender, LeftOut, type Scene, untilAnswering } from "./contender.ts";
import { isNative, type NativeName, startNative } from "./native-contenders.ts";
import { type BenchPolicy, type PolicyName, policyOf } from "./policies.ts";
import { folder, start } from "./processes.ts";

export type ContenderName =
  | "direct"
  | NativeName
  | "byte relay"
  | "http-proxy-3"
  | "@fastify/http-proxy"
  | "hono + fetch"
  | "node:http"
  | `outrigger: ${PolicyName}`
  | `outrigger: full chain, workers: ${"1" | "2"}`;

export async function startContender(name: ContenderName, scene: Scene): Promise<Contender> {
  if (name === "direct") {
    return {
      name,
      port: scene.upstreamPort,
      pid: process.pid,
      lastWords: () => undefined,
      stop: async () => {},
    };
  }
  if (isNative(name)) return startNative(name, scene);
  if (name.startsWith("outrigger: ")) {
    const policy = policyOf(name.slice("outrigger: ".length) as PolicyName, scene.callers);
    const [plugin] = policy.missing;
    if (plugin !== undefined) throw new LeftOut(`plugin ${plugin} is not there`);
    return { name, ...(await startSidecar(policy, scene)) };
  }
  const program = join(import.meta.dirname, "proxies.ts");
  const started = start(process.execPath, [program, name, String(scene.upstreamPort)], {
    cores: scene.cores.contender,
    env: { NODE_ENV: "production" },
  });
  const [, port] = await started.said(/port (\d+)/u);
  return { ...started, name, port: Number(port) };
}

export interface RunningSidecar extends Omit<Contender, "name"> {
  readonly adminPort: number;
  /** URL of the sidecar's Redis, if it has one. */
  readonly redisUrl: string | undefined;
  /** From spawn to the first 200 of /readyz. */
  readonly readyMs: number;
}

/**
 * Starts a sidecar as a process, with nothing of this process's environment.
 * @param cores default: the contender's core
 * @param env further settings
 */
export async function startSidecar(
  policy: Pick<BenchPolicy, "document" | "needsRedis">,
  scene: Scene,
  cores = scene.cores.contender,
  env: Readonly<Record<string, string>> = {},
): Promise<RunningSidecar> {
  const redis = policy.needsRedis ? await startRedis() : undefined;
  const [port, adminPort] = [await freePort(), await freePort()];
  const document = JSON.stringify(policy.document);
  const file = join(folder, `policy-${port}.json`);
  if (redis === undefined) writeFileSync(file, document);
  else await redis.cli.set("outrigger:policy", document);
  const { profileFolder } = scene;
  const profile = profileFolder === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profileFolder}`];
  const [program = "", ...args] = scene.command.split(" ");
  const began = performance.now();
  const started = start(program, [...profile, ...args], {
    cores,
    env: {
      NODE_ENV: "production",
      ...nodeEnvironment,
      OUTRIGGER_LISTEN: `127.0.0.1:${port}`,
      OUTRIGGER_ADMIN: `127.0.0.1:${adminPort}`,
      OUTRIGGER_UPSTREAM: `http://127.0.0.1:${scene.upstreamPort}`,
      OUTRIGGER_DRAIN_MS: "500",
      ...(redis === undefined ? { OUTRIGGER_POLICY_FILE: file } : { REDIS_URL: redis.url }),
      ...env,
    },
  });
  await untilAnswering(adminPort, "/readyz", started);
  return {
    ...started,
    port,
    adminPort,
    redisUrl: redis?.url,
    readyMs: performance.now() - began,
    async stop() {
      await started.stop();
      await redis?.close();
    },
  };
}
