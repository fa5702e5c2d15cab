// Measures what the score plugin costs a request: 100 complete trees of depth 6 over 30 features, each read from a
// field of the request.
// node test/bench/score.ts
import { compileFeatures } from "../../plugins/score/features.ts";
import { readModel } from "../../plugins/score/models/artefact.ts";
import { scoreOf } from "../../plugins/score/models/model.ts";
import { scoreOptions } from "../../plugins/score/options.ts";
import { exchangeOf } from "../support/exchange.ts";

const features = 30;
const trees = 100;
const depth = 6;
const requests = 20_000;
const rounds = 9;
const goalMicros = 10;

// A fixed seed: always the same forest.
let state = 42;
const random = (): number => (state = (state * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648;

const treeOf = (left: number): object =>
  left === 0
    ? { leaf_value: random() - 0.5 }
    : {
        split_feature: Math.floor(random() * features),
        threshold: random(),
        decision_type: "<=",
        default_left: random() < 0.5,
        missing_type: "NaN",
        left_child: treeOf(left - 1),
        right_child: treeOf(left - 1),
      };

const names = Array.from({ length: features }, (_, i) => `f${i}`);
const document = {
  num_class: 1,
  num_tree_per_iteration: 1,
  objective: "binary sigmoid:1",
  feature_names: names,
  tree_info: Array.from({ length: trees }, () => ({ tree_structure: treeOf(depth) })),
};
const startedMono = performance.now();
const model = readModel(JSON.parse(JSON.stringify(document)) as Record<string, unknown>);
const readMs = performance.now() - startedMono;

const options = scoreOptions.parse({
  features: names.map((name) => ({ name, from: "header", of: `X-${name}` })),
});
const fill = compileFeatures(options.features, names, () => 0);
const exchanges = Array.from({ length: 256 }, () =>
  exchangeOf({ fields: names.flatMap((name) => [`X-${name}`, random().toFixed(4)]) }),
);
const row = new Float64Array(features);
const filled = exchanges.map((exchange) => {
  fill(exchange, row);
  return row.slice();
});

/** @returns the minimum of some rounds, in µs */
function microsOf(work: (i: number) => void): number {
  let least = Infinity;
  for (let round = 0; round < rounds; round += 1) {
    const { user, system } = process.cpuUsage();
    for (let i = 0; i < requests; i += 1) work(i % exchanges.length);
    const used = process.cpuUsage();
    least = Math.min(least, (used.user + used.system - user - system) / requests);
  }
  return least;
}

let sum = 0;

/** @returns µs for the trees alone, and with reading the features */
export function scoreMicros(): { readonly trees: number; readonly whole: number } {
  const alone = microsOf((i) => {
    row.set(filled[i] as Float64Array);
    sum += scoreOf(model, row);
  });
  const whole = microsOf((i) => {
    fill(exchanges[i] as (typeof exchanges)[number], row);
    sum += scoreOf(model, row);
  });
  return { trees: alone, whole };
}

if (import.meta.main) print(scoreMicros());

function print({ trees: treesMicros, whole: wholeMicros }: ReturnType<typeof scoreMicros>): void {
  const verdict = treesMicros <= goalMicros ? "met" : "missed";
  process.stdout.write(
    `${trees} trees of depth ${depth}, ${features} features (mean score ${(sum / requests / rounds / 2).toFixed(3)}), read in ${readMs.toFixed(0)} ms\n` +
      `the trees: ${treesMicros.toFixed(1)} µs a request, goal ${goalMicros}: ${verdict}\n` +
      `with ${features} features read from fields: ${wholeMicros.toFixed(1)} µs\n`,
  );
}
