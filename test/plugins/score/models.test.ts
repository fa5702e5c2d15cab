// Models as XGBoost and LightGBM save them: the scores equal the libraries', and invalid models are refused.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, it } from "node:test";
import fc from "fast-check";
import { maxArtefactBytes, readArtefact, readModel } from "../../../plugins/score/models/artefact.ts";
import { scoreOf } from "../../../plugins/score/models/model.ts";

const folder = join(import.meta.dirname, "golden");
const text = (name: string): string => readFileSync(join(folder, `${name}.json`), "utf8");
type Json = Record<string, unknown>;

describe("a model of XGBoost", () => {
  for (const file of globSync("*.json", { cwd: folder }).toSorted())
    it(`scores as the library did: ${basename(file, ".json")}`, () => {
      const { golden, model } = readArtefact(readFileSync(join(folder, file)));
      assert.equal(golden, 30);
      assert.equal(model.format, "XGBoost");
    });

  it("takes features in single precision, as the library does", () => {
    const { model } = readArtefact(readFileSync(join(folder, "logistic.json")));
    const saved = JSON.parse(text("logistic")) as {
      model: { learner: { gradient_booster: { model: { trees: Record<string, number[]>[] } } } };
    };
    const [tree] = saved.model.learner.gradient_booster.model.trees;
    const row = new Float64Array(5).fill(Number.NaN);
    const place = tree?.["split_indices"]?.[0] ?? assert.fail();
    const split = Math.fround(tree?.["split_conditions"]?.[0] ?? assert.fail());
    const scored = (value: number): number => {
      row[place] = value;
      return scoreOf(model, row);
    };
    const step = 2 ** (Math.floor(Math.log2(Math.abs(split))) - 23);
    assert.notEqual(scored(split - step), scored(split), "the split tells them apart");
    assert.equal(scored(split - step * 0.3), scored(split));
    assert.equal(scored(split - step * 0.7), scored(split - step), "it is rounded before it is compared");
  });

  it("is refused when its scores are not those that it brings", () => {
    const document = JSON.parse(text("logistic")) as { golden: { score: number }[] };
    (document.golden[3] as { score: number }).score += 0.001;
    assert.throws(
      () => readArtefact(Buffer.from(JSON.stringify(document))),
      /^Error: golden\[3\]: has the score/,
    );
  });

  it("that stopped early says how many rounds count, or is refused", () => {
    const { iterations: _, ...document } = JSON.parse(text("early")) as Json;
    const bytes = Buffer.from(JSON.stringify({ ...document, golden: [] }));
    assert.throws(
      () => readArtefact(bytes),
      /learner\.attributes\.best_iteration: is \d+ of \d+: say iterations/,
    );
  });

  /** The logistic model with this value at a place. */
  function spoilt(path: readonly (string | number)[], value: unknown): Buffer {
    const document = JSON.parse(text("logistic")) as Json;
    let at = document["model"] as Record<string | number, unknown>;
    for (const part of path.slice(0, -1)) at = at[part] as typeof at;
    at[path.at(-1) as string] = value;
    return Buffer.from(JSON.stringify({ ...document, golden: [] }));
  }
  const learner = "learner";
  const tree = [learner, "gradient_booster", "model", "trees", 0] as const;
  for (const [what, path, value, message] of [
    ["no trees", [learner, "gradient_booster", "model", "trees"], [], /trees: there are none/],
    ["NaN in a split", [...tree, "split_conditions", 0], "NaN", /split_conditions\[0\]: is no finite number/],
    ["a child beyond the tree", [...tree, "left_children", 0], 99, /left_children\[0\]: is no whole number/],
    ["a cycle", [...tree, "left_children", 1], 0, /comes to node 0 in two ways/],
    ["two parents", [...tree, "right_children", 0], 1, /comes to node 1 in two ways/],
    [
      "an unknown feature",
      [...tree, "split_indices", 0],
      5,
      /split_indices\[0\]: is no whole number from 0 to 4/,
    ],
    ["a categorical split", [...tree, "split_type", 0], 1, /split_type\[0\]: is categorical/],
    ["a list that is too short", [...tree, "default_left"], [0], /default_left: has not \d+ entries/],
    ["several classes", [learner, "learner_model_param", "num_class"], "3", /num_class: is 3/],
    [
      "another objective",
      [learner, "objective", "name"],
      "multi:softmax",
      /objective\.name: is "multi:softmax"/,
    ],
    ["a linear booster", [learner, "gradient_booster", "name"], "gblinear", /name: is "gblinear"/],
    [
      "a base score beyond its space",
      [learner, "learner_model_param", "base_score"],
      "2E0",
      /base_score: does not fit/,
    ],
    ["names that are not enough", [learner, "feature_names"], ["a"], /has 1 names for 5 features/],
    [
      "features without end",
      [learner, "learner_model_param", "num_feature"],
      "1e9",
      /num_feature: is none from 1/,
    ],
  ] as const)
    it(`with ${what} is refused, with the place`, () =>
      assert.throws(() => readArtefact(spoilt(path, value)), message));
});

type Leaf = { leaf_index: number; leaf_value: number };
type Split = {
  split_index: number;
  split_feature: number;
  threshold: number;
  decision_type: "<=";
  default_left: boolean;
  missing_type: "None" | "Zero" | "NaN";
  left_child: Tree;
  right_child: Tree;
};
type Tree = Leaf | Split;

const features = ["a", "b", "c"];
const forest = (trees: readonly Tree[], objective = "regression", more: Json = {}): Json => ({
  num_class: 1,
  num_tree_per_iteration: 1,
  objective,
  feature_names: features,
  tree_info: trees.map((tree_structure) => ({ num_cat: 0, tree_structure })),
  ...more,
});
const leaf = (value: number): Leaf => ({ leaf_index: 0, leaf_value: value });
const split = (more: Partial<Split> = {}): Split => ({
  split_index: 0,
  split_feature: 0,
  threshold: 1,
  decision_type: "<=",
  default_left: true,
  missing_type: "None",
  left_child: leaf(1),
  right_child: leaf(2),
  ...more,
});

/** Tree::NumericalDecision of LightGBM, as its source has it. */
function reference(tree: Tree, row: readonly number[]): number {
  if ("leaf_value" in tree) return tree.leaf_value;
  let value = row[tree.split_feature] as number;
  const isNaNType = tree.missing_type === "NaN";
  if (Number.isNaN(value) && !isNaNType) value = 0;
  const isZero = value >= -1e-35 && value <= 1e-35;
  const isMissing = (tree.missing_type === "Zero" && isZero) || (isNaNType && Number.isNaN(value));
  const goesLeft = isMissing ? tree.default_left : value <= tree.threshold;
  return reference(goesLeft ? tree.left_child : tree.right_child, row);
}

const values = fc.constantFrom(Number.NaN, -1, -1e-36, 0, 0.5, 1, 1.0000000001, 2);
const { tree: anyTree } = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.integer({ min: -9, max: 9 }).map(leaf),
    fc.record({
      split_index: fc.constant(0),
      split_feature: fc.nat(2),
      threshold: fc.constantFrom(-1, 0, 0.5, 1),
      decision_type: fc.constant("<=" as const),
      default_left: fc.boolean(),
      missing_type: fc.constantFrom("None" as const, "Zero" as const, "NaN" as const),
      left_child: tie("tree"),
      right_child: tie("tree"),
    }),
  ),
}));

describe("a model of LightGBM", () => {
  it("decides as the library's source says, whatever the trees and rows", () => {
    const row = fc.tuple(values, values, values);
    fc.assert(
      fc.property(fc.array(anyTree, { minLength: 1, maxLength: 4 }), row, (trees, cells) => {
        const expected = trees.reduce((sum, tree) => sum + reference(tree, cells), 0);
        assert.equal(scoreOf(readModel(forest(trees)), Float64Array.from(cells)), expected);
      }),
    );
  });

  it("makes a score of the sum as its objective says", () => {
    const row = Float64Array.of(0, 0, 0);
    const scored = (objective: string, more: Json = {}): number =>
      scoreOf(readModel(forest([leaf(1), leaf(2)], objective, more)), row);
    const near = (value: number, expected: number): void =>
      assert.ok(Math.abs(value - expected) < 1e-12, `${value}`);
    near(scored("binary sigmoid:1"), 1 / (1 + Math.exp(-3)));
    near(scored("binary sigmoid:0.5"), 1 / (1 + Math.exp(-1.5)));
    near(scored("poisson"), Math.exp(3));
    near(scored("regression sqrt"), 9);
    near(scored("cross_entropy_lambda"), Math.log1p(Math.exp(3)));
    near(scored("regression", { average_output: true }), 1.5);
  });

  const deep = (depth: number): Tree => (depth === 0 ? leaf(1) : split({ left_child: deep(depth - 1) }));
  for (const [what, document, message] of [
    [
      "categories",
      forest([split({ decision_type: "==" as "<=" })]),
      /decision_type: is "==": only <= is taken/,
    ],
    [
      "an unknown kind of missing",
      forest([split({ missing_type: "no" as "None" })]),
      /missing_type: is "no"/,
    ],
    [
      "an unknown feature",
      forest([split({ split_feature: 3 })]),
      /split_feature: is no whole number from 0 to 2/,
    ],
    [
      "no number in a leaf",
      forest([split({ left_child: leaf(Number.NaN) })]),
      /leaf_value: is no finite number/,
    ],
    ["linear leaves", forest([{ ...leaf(1), leaf_coeff: [1] } as Tree]), /is linear/],
    ["trees that are too deep", forest([deep(65)]), /is deeper than 64/],
    ["another objective", forest([leaf(1)], "multiclass"), /objective: is "multiclass"/],
    ["no trees", forest([]), /there are none/],
  ] as const)
    it(`with ${what} is refused`, () => assert.throws(() => readModel(document), message));
});

describe("what is no model", () => {
  for (const [what, bytes, message] of [
    ["no JSON", "{NaN}", /is no JSON/],
    ["a list", "[]", /expected object/],
    ["neither format", '{"model":{}}', /is neither XGBoost's model\.json nor LightGBM's dump_model\(\)/],
    ["a member that nobody knows", '{"model":{},"x":1}', /Unrecognized key: "x"/],
    ["more bytes than there may be", "x".repeat(maxArtefactBytes + 1), /bytes, and \d+ are the most/],
  ] as const)
    it(`is refused: ${what}`, () => assert.throws(() => readArtefact(Buffer.from(bytes)), message));
});
