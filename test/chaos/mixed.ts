// `node test/chaos/mixed.ts [--seconds 60] [--seed N] [--clients 80] [--traffic http1|http2|websocket]...`: clients and
// services that misbehave in every way at once, policies that change, a Redis that freezes and restarts. Then drains the
// sidecar and balances. Exit code 1 if an answer is mixed up or smuggled, a client is stuck, a line of the log is
// missing or wrong, or anything is left. A seed repeats all choices; their timing is the machine's.
import { parseArgs } from "node:util";
import { kinds, runMixed } from "./mixed/run.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    clients: { type: "string", default: "80" },
    traffic: { type: "string", multiple: true, default: [...kinds] },
  },
});
const [seconds, seed, clients] = [values.seconds, values.seed, values.clients].map(Number) as [
  number,
  number,
  number,
];
const traffic = kinds.filter((kind) => values.traffic.includes(kind));
if (
  !(seconds > 0 && clients > 0 && Number.isInteger(seed)) ||
  traffic.length < new Set(values.traffic).size
) {
  process.stderr.write(
    `seconds and clients are numbers above 0, seed is a number, traffic ${kinds.join(", ")}\n`,
  );
  process.exit(2);
}
const print = (line: string): void => void process.stdout.write(`${line}\n`);
print(`seed ${seed}`);
const { ledger, summary } = await runMixed({ seconds, seed, clients, traffic }, print);
print(summary);
for (const [kind, times] of ledger.faults) print(`${String(times).padStart(6)}  ${kind}`);
print(ledger.faults.size === 0 ? "held" : `BROKEN: repeat with --seed ${seed} --clients ${clients}`);
process.exitCode = ledger.faults.size === 0 ? 0 : 1;
