// `node test/bench/router.ts`: measures the CPU of one match among 10,000 routes, and of normalising its path. Goal:
// under 2 µs.
import { normalisePath } from "../../src/language/request-path.ts";
import { Router, type Routable } from "../../src/routing/router.ts";

const rounds = 1_000_000;
const routes: Routable[] = Array.from({ length: 10_000 }, (_, i) => ({
  path: i % 2 === 0 ? `/svc${i % 100}/v${i % 7}/things${i}/*` : `/svc${i % 100}/exact${i}`,
  methods: ["GET", "POST"],
}));
const router = new Router(routes.map((route) => [route, route]));
const paths = routes.map(({ path }) => path.replace("/*", "/7/items"));

function microseconds(step: (path: string) => unknown): number {
  for (const path of paths) step(path);
  const before = process.cpuUsage();
  for (let i = 0; i < rounds; i += 1) step(paths[i % paths.length] as string);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / rounds;
}

const matched = microseconds((path) => router.match(path, "GET"));
const normalised = microseconds(normalisePath);
const both = microseconds((path) => router.match(normalisePath(path), "GET"));
console.log(`match among ${routes.length} routes: ${matched.toFixed(2)} µs`);
console.log(`normalise: ${normalised.toFixed(2)} µs; both: ${both.toFixed(2)} µs; goal: 2 µs`);
