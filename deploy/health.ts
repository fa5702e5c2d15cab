// The image's health check: exits with 0 if the sidecar of this container is ready, else with 1. It asks the admin
// listener that OUTRIGGER_ADMIN names, and waits two seconds at most.
import { get, type RequestOptions } from "node:http";
import { env, exit } from "node:process";

const admin = env["OUTRIGGER_ADMIN"] ?? "0.0.0.0:9901";

function target(): RequestOptions {
  if (admin.startsWith("unix:")) return { socketPath: admin.slice("unix:".length) };
  const { hostname, port } = new URL(`http://${admin}`);
  // A listener on "any address" also answers on loopback.
  const host = hostname.replace(/^0\.0\.0\.0$/, "127.0.0.1").replace(/^\[(.*)\]$/, "$1");
  return { host: host === "::" ? "::1" : host, port: port === "" ? 80 : port };
}

get({ ...target(), path: "/readyz", signal: AbortSignal.timeout(2000) }, ({ statusCode }) =>
  exit(statusCode === 200 ? 0 : 1),
).on("error", () => exit(1));
