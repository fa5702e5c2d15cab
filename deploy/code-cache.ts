// Program: starts the bundled sidecar with all plugins, and writes the bytecode of all functions that ran next to it.
// `node <the sidecar's flags> deploy/code-cache.ts <folder>`, called by `bundle.ts`.
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { cacheOf, compileProgram, runProgram } from "./program.ts";

const [folder = ""] = process.argv.splice(2, 1, "run");
const place = mkdtempSync(join(tmpdir(), "outrigger-cache-"));
const admin = join(place, "admin.sock");

/** A policy that makes every plugin set itself up. */
function policy(): unknown {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = { ...publicKey.export({ format: "jwk" }), kid: "1", alg: "ES256" };
  return {
    apiVersion: "outrigger/v1",
    plugins: ["logging", "cors", "auth", "rate-limit", "cache", "transform"],
    pluginConfig: {
      cors: { origins: ["https://app.example"] },
      auth: {
        jwt: {
          issuers: [
            { issuer: "https://id.example", jwks: { keys: [key] }, algorithms: ["ES256"], audience: ["api"] },
          ],
        },
      },
      "rate-limit": { limits: [{ name: "all", by: "subject", limit: 100, window: "1s", mode: "leased" }] },
      transform: { addHeaders: { "X-Source": "$clientIp" } },
    },
  };
}

function isReady(): Promise<boolean> {
  return new Promise((resolve) => {
    get({ socketPath: admin, path: "/readyz" }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    }).on("error", () => resolve(false));
  });
}

// A Redis that closes every connection: the policy file is then the baseline.
const redis = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
await once(redis, "listening");
writeFileSync(join(place, "policy.json"), JSON.stringify(policy()));
// Whoever builds may have settings of a sidecar, or of its tests, in the environment: none of them counts here.
for (const name of Object.keys(process.env)) Reflect.deleteProperty(process.env, name);
Object.assign(process.env, {
  OUTRIGGER_LISTEN: `unix:${join(place, "listen.sock")}`,
  OUTRIGGER_ADMIN: `unix:${admin}`,
  OUTRIGGER_POLICY_FILE: join(place, "policy.json"),
  REDIS_URL: `redis://127.0.0.1:${(redis.address() as AddressInfo).port}`,
});
process.once("exit", () => rmSync(place, { recursive: true }));
const script = compileProgram(folder);
runProgram(script, folder);
const limit = AbortSignal.timeout(20_000);
while (!(await isReady())) await pause(20, undefined, { signal: limit });
writeFileSync(cacheOf(folder), script.createCachedData());
process.exit(0);
