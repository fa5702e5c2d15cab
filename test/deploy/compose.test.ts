// deploy/compose.yaml: it contains nothing that Compose does not know and everything that keeps its containers' rights
// small, and its Redis starts with the promised users.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { Redis } from "ioredis";
import { parse } from "yaml";
import { z } from "zod";
import { loadConfig } from "../../src/app/environment.ts";
import { root } from "../support/dockerfile.ts";
import { findRedisServer, freePort } from "../support/redis.ts";

const duration = z.string().regex(/^\d+(ms|s|m)$/);
const bytes = z.string().regex(/^\d+[kmg]$/);
const command = z.array(z.string()).min(1);

/** As much of the Compose specification as the file uses; what bounds a container is required. */
const service = z
  .strictObject({
    build: z.strictObject({ context: z.string() }).optional(),
    image: z.string().regex(/:\d[\w.-]*$/, "has no version"),
    command: command.optional(),
    network_mode: z
      .string()
      .regex(/^service:\w+$/)
      .optional(),
    networks: z.array(z.string()).optional(),
    depends_on: z
      .record(z.string(), z.strictObject({ condition: z.enum(["service_started", "service_healthy"]) }))
      .optional(),
    environment: z.record(z.string(), z.string()).optional(),
    volumes: z
      .array(
        z.discriminatedUnion("type", [
          z.strictObject({
            type: z.literal("bind"),
            source: z.string(),
            target: z.string(),
            read_only: z.literal(true),
          }),
          z.strictObject({ type: z.literal("volume"), source: z.string(), target: z.string() }),
        ]),
      )
      .optional(),
    tmpfs: z.array(z.string().regex(/^\/[\w/]+:uid=\d+,gid=\d+,mode=0700,size=\d+m$/)).optional(),
    ports: z.array(z.string().regex(/^(127\.0\.0\.1:)?\d+:\d+$/)).optional(),
    user: z
      .string()
      .regex(/^[1-9]\d*:[1-9]\d*$/)
      .optional(),
    read_only: z.literal(true),
    cap_drop: z.tuple([z.literal("ALL")]),
    security_opt: z.tuple([z.literal("no-new-privileges:true")]),
    mem_limit: bytes,
    pids_limit: z.int().positive(),
    restart: z.literal("unless-stopped"),
    stop_grace_period: duration.optional(),
    healthcheck: z
      .strictObject({
        test: command,
        interval: duration,
        timeout: duration,
        retries: z.int().positive(),
        start_period: duration.optional(),
      })
      .optional(),
  })
  .refine(({ user, build }) => user !== undefined || build !== undefined, "would run as its image's user");
const schema = z.strictObject({
  name: z.string(),
  services: z.strictObject({ app: service, sidecar: service, redis: service }),
  networks: z.record(z.string(), z.strictObject({ internal: z.boolean().optional() })),
  volumes: z.record(z.string(), z.strictObject({})),
});

const text = readFileSync(join(root, "deploy/compose.yaml"), "utf8");
const file = schema.parse(parse(text, { strict: true }));
const { app, sidecar, redis } = file.services;

/** As Compose does before anything else; `$$` is a plain dollar sign. */
function interpolate(value: string): string {
  return value.replace(/\$\{(\w+):\?[^}]*\}/g, "$1-value").replaceAll("$$", "$");
}

test("an unknown field and a missing bound are refused", () => {
  const change = (more: object): z.ZodSafeParseResult<unknown> =>
    schema.safeParse({ ...file, services: { ...file.services, app: { ...app, ...more } } });
  assert.ok(change({}).success);
  assert.ok(!change({ privileged: true }).success);
  assert.ok(!change({ cap_drop: undefined }).success);
  assert.ok(!change({ image: "node:latest" }).success);
});

test("the sidecar shares the service's network, so that loopback is one and the service is behind it", () => {
  assert.equal(sidecar.network_mode, "service:app");
  assert.equal(sidecar.ports, undefined);
  assert.deepEqual(app.command?.slice(-2), ["127.0.0.1", "3000"]);
  assert.equal(sidecar.environment?.["OUTRIGGER_UPSTREAM"], "http://127.0.0.1:3000");
  // Metrics and control are for this machine.
  assert.deepEqual(app.ports, ["8080:8080", "127.0.0.1:9901:9901"]);
});

test("Redis has no way out, and the sidecar a way to it", () => {
  assert.deepEqual(redis.networks, ["state"]);
  assert.equal(file.networks["state"]?.internal, true);
  assert.ok(app.networks?.includes("state"));
});

test("its environment is one that the sidecar starts with, and its drain has time to end", () => {
  const env = Object.fromEntries(
    Object.entries(sidecar.environment ?? {}).map(([name, value]) => [name, interpolate(value)]),
  );
  const config = loadConfig(env);
  assert.deepEqual(config.redis?.nodes, [{ host: "redis", port: 6379 }]);
  const grace = Number(sidecar.stop_grace_period?.replace(/s$/, ""));
  assert.ok(grace * 1000 > config.drainMs + 5000);
});

test("every file that is mounted exists, and what is written lies in memory or on a volume", () => {
  for (const { type, source } of [app, sidecar, redis].flatMap(({ volumes = [] }) => volumes)) {
    if (type === "bind") assert.ok(existsSync(join(root, "deploy", source)), source);
    else assert.ok(source in file.volumes, source);
  }
  const writable = sidecar.tmpfs?.map((mount) => mount.split(":")[0]);
  assert.deepEqual(writable, [sidecar.environment?.["OUTRIGGER_STATE_DIR"]]);
});

test("the service's own health check passes beside the service", async () => {
  const port = await freePort();
  const child = spawn(process.execPath, [join(root, "deploy/demo/service.ts"), "127.0.0.1", String(port)]);
  after(() => child.kill("SIGKILL"));
  await once(child.stdout, "data");
  const [, , flag = "", script = ""] = app.healthcheck?.test ?? [];
  await promisify(execFile)(process.execPath, [flag, script.replace("3000", String(port))]);
  child.kill("SIGTERM");
  assert.deepEqual(await once(child, "exit"), [0, null]);
});

test("Redis starts as the file says, with the two users and nobody else", async () => {
  const folder = mkdtempSync(join(tmpdir(), "outrigger-compose-"));
  after(() => rmSync(folder, { recursive: true }));
  for (const name of ["run", "data"]) mkdirSync(join(folder, name));
  const port = await freePort();
  const [shell = "", flags = "", script = ""] = redis.command?.map(interpolate) ?? [];
  const here = script
    .replaceAll("/etc/redis/", `${join(root, "deploy")}/`)
    .replaceAll("/run/redis/", `${join(folder, "run")}/`)
    .replace("redis-server", findRedisServer())
    .replace("--dir /data", `--dir ${join(folder, "data")} --port ${port} --bind 127.0.0.1`);
  const env = { PATH: process.env["PATH"], REDIS_PASSWORD: "one", OPERATOR_PASSWORD: "two" };
  const server = spawn(shell, [flags, here], { env, stdio: "ignore" });
  after(() => server.kill("SIGKILL"));
  for (const [username, password] of [
    ["sidecar-sample", "one"],
    ["operator", "two"],
  ] as const) {
    const client = new Redis({ port, username, password, disableClientInfo: true });
    client.on("error", () => undefined);
    assert.equal(await client.get("outrigger:policy"), null);
    client.disconnect();
  }
  const stranger = new Redis({ port, protocol: 2, enableReadyCheck: false, disableClientInfo: true });
  await assert.rejects(stranger.ping(), /NOAUTH/);
  stranger.disconnect();
});
