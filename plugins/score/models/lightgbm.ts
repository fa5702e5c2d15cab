// Reads the JSON of LightGBM 4's Booster.dump_model() (src/boosting/gbdt_model_text.cpp and src/io/tree.cpp).
import { BadModel, ForestBuilder, maxDepth, type Missing, type TreeNode } from "./forest.ts";
import { type Model, sigmoid } from "./model.ts";
import { indexAt, listAt, numberAt, objectAt, type Part, textAt } from "./reading.ts";

const missings: ReadonlyMap<unknown, Missing> = new Map([
  ["None", "none"],
  ["Zero", "zero"],
  ["NaN", "nan"],
]);

/** @throws BadModel */
export function readLightgbm(document: Part, iterations: number | undefined): Model {
  for (const name of ["num_class", "num_tree_per_iteration"])
    if (document[name] !== 1) throw new BadModel(name, "is not 1: models of one score are taken");
  const names = listAt(document["feature_names"], "feature_names");
  if (names.length < 1 || names.length > 4_096)
    throw new BadModel("feature_names", "has not 1 to 4096 names");
  const features = names.map((name, i) => textAt(name, `feature_names[${i}]`));
  const all = listAt(document["tree_info"], "tree_info");
  if (iterations !== undefined && iterations > all.length)
    throw new BadModel("iterations", `is ${iterations}, and the model has ${all.length}`);
  const trees = all.slice(0, iterations);
  const builder = new ForestBuilder();
  for (const [i, tree] of trees.entries()) {
    const place = `tree_info[${i}]`;
    const { num_cat: categories = 0, tree_structure: root } = objectAt(tree, place);
    if (categories !== 0) throw new BadModel(`${place}.num_cat`, "is not 0: categories are not taken");
    addTree(builder, objectAt(root, `${place}.tree_structure`), place, features.length);
  }
  const divisor = document["average_output"] === true ? trees.length : 1;
  const outcome = outcomeOf(document["objective"]);
  return {
    format: "LightGBM",
    features,
    forest: builder.build(),
    isSingle: false,
    outcome: (sum) => outcome(sum / divisor),
  };
}

function addTree(builder: ForestBuilder, root: Part, place: string, features: number): void {
  const read = (node: unknown, depth: number): TreeNode => {
    if (depth > maxDepth) throw new BadModel(place, `is deeper than ${maxDepth}`);
    const part = objectAt(node, `${place}, a node`);
    const index = JSON.stringify("leaf_value" in part ? part["leaf_index"] : part["split_index"]) ?? "";
    const at = `${place}, ${"leaf_value" in part ? "leaf" : "split"} ${index.slice(0, 32)}`;
    if ("leaf_coeff" in part) throw new BadModel(at, "is linear, which is not taken");
    if ("leaf_value" in part) return { value: numberAt(part["leaf_value"], `${at}.leaf_value`) };
    if (part["decision_type"] !== "<=")
      throw new BadModel(
        `${at}.decision_type`,
        `is ${JSON.stringify(part["decision_type"])}: only <= is taken`,
      );
    const missing = missings.get(part["missing_type"]);
    if (missing === undefined)
      throw new BadModel(`${at}.missing_type`, `is ${JSON.stringify(part["missing_type"])}, which is none`);
    return {
      feature: indexAt(part["split_feature"], `${at}.split_feature`, features),
      threshold: numberAt(part["threshold"], `${at}.threshold`),
      missing,
      missingLeft: part["default_left"] === true,
      left: part["left_child"],
      right: part["right_child"],
    };
  };
  builder.add(root, read);
}

const plain = new Set([
  "regression",
  "regression_l1",
  "huber",
  "fair",
  "quantile",
  "mape",
  "lambdarank",
  "rank_xendcg",
]);
const exponential = new Set(["poisson", "gamma", "tweedie"]);

/** @param objective name and parameters, such as `binary sigmoid:1` or `regression sqrt` */
function outcomeOf(objective: unknown): (raw: number) => number {
  const [name = "", ...parameters] = textAt(objective ?? "regression", "objective").split(" ");
  const steepness = Number(
    parameters.find((each) => each.startsWith("sigmoid:"))?.slice("sigmoid:".length) ?? 1,
  );
  if (name === "binary" && Number.isFinite(steepness)) return (raw) => sigmoid(steepness * raw);
  if (name === "cross_entropy") return sigmoid;
  if (name === "cross_entropy_lambda") return (raw) => Math.log1p(Math.exp(raw));
  if (exponential.has(name)) return Math.exp;
  if (plain.has(name))
    return parameters.includes("sqrt") ? (raw) => Math.sign(raw) * raw * raw : (raw) => raw;
  throw new BadModel("objective", `is ${JSON.stringify(objective)}, which is none that is taken`);
}
