// `npm run demo`, `outrigger demo`: starts a sample service on a free loopback port, and in front of it the sidecar
// with the policy beside this file, without Redis. Prints commands to try; Ctrl-C stops both.
import { once } from "node:events";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join, relative, sep } from "node:path";
import { run } from "../../src/cli/run.ts";
import { type Sidecar, startSidecar } from "../../src/app/sidecar.ts";
import { createSampleService } from "./service.ts";

const policyFile = policyToEdit();

/**
 * Path of the policy beside this file. Where npm installed this file, it is the path of a copy: nobody edits files in
 * there.
 */
function policyToEdit(): string {
  const own = join(import.meta.dirname, "policy.yaml");
  if (!own.includes(`${sep}node_modules${sep}`)) return relative(process.cwd(), own);
  const folder = mkdtempSync(join(tmpdir(), "outrigger-demo-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const copy = join(folder, "policy.yaml");
  copyFileSync(own, copy);
  return copy;
}

async function listenOnLoopback(server: Server, port: number): Promise<number> {
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** @returns the port, or 0 = any free one when something else listens there */
async function portIfFree(port: number): Promise<number> {
  const probe = createServer();
  try {
    await listenOnLoopback(probe, port);
  } catch {
    return 0;
  }
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

function urlOf(address: AddressInfo | string): string {
  return typeof address === "string" ? address : `http://127.0.0.1:${address.port}`;
}

/** Commands to try, each with a comment that begins with the expected status. */
function linesToTry(sidecar: Sidecar): string {
  const url = urlOf(sidecar.address);
  const admin = urlOf(sidecar.adminAddress);
  const lines = [
    ["curl -i", `${url}/hello`, "200: what the service was sent"],
    ["curl -i -H 'X-User-Id: root'", `${url}/hello`, "200: nobody is root by saying so"],
    ["curl -i", `${url}/private/notes`, "401: a key is needed"],
    [
      "curl -i -H 'X-API-Key: demo-key'",
      `${url}/private/notes`,
      "200: the service is told that this is alice",
    ],
    ["curl -i --path-as-is", `${url}/hello/%2e%2e/private/notes`, "401: one path, however it is spelled"],
    ["curl -i", `${url}/catalog/shoes`, "200: again within 10 s is an X-Cache: HIT"],
    ["curl -i", `'${url}/limited/[1-4]'`, "200, 200, 200, 429"],
    ["curl -i -X DELETE", `${url}/readonly/notes`, "405: with Allow"],
    ["curl -N --max-time 3", `${url}/events`, "a stream, as it comes"],
    ["curl -i", `'${admin}/readyz?verbose'`, "200: ready, and why"],
    ["curl -i", `${admin}/policy`, "200: the policy in force"],
    ["curl -i", `${admin}/metrics`, "200: for Prometheus"],
  ];
  const commands = lines.map(([command, target]) => `${command} ${target}`);
  const width = Math.max(...commands.map((command) => command.length));
  return commands.map((command, i) => `  ${command.padEnd(width)}  # ${lines[i]?.[2]}`).join("\n");
}

const service = createSampleService();
const upstream = `http://127.0.0.1:${await listenOnLoopback(service, 0)}`;
const env = {
  OUTRIGGER_SERVICE: "sample",
  OUTRIGGER_LISTEN: `127.0.0.1:${await portIfFree(8080)}`,
  OUTRIGGER_ADMIN: `127.0.0.1:${await portIfFree(9901)}`,
  OUTRIGGER_UPSTREAM: upstream,
  OUTRIGGER_POLICY_FILE: policyFile,
  OUTRIGGER_DRAIN_MS: "2000",
};
const code = await run(env, async (config) => {
  const sidecar = await startSidecar(config);
  process.stdout.write(`
sample service  ${upstream}
sidecar         ${urlOf(sidecar.address)}
admin           ${urlOf(sidecar.adminAddress)}
policy          ${policyFile}  (edit it: a change is in force at once)

Try:
${linesToTry(sidecar)}

Below are the sidecar's log lines. Ctrl-C stops both.
`);
  return sidecar;
});
service.closeAllConnections();
process.exit(code);
