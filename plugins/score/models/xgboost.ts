// Reads model.json of XGBoost 1.7 to 3 ("Introduction to Model IO", doc/model.schema): gbtree and dart, one output.
import { BadModel, type Forest, ForestBuilder, maxDepth, type TreeNode } from "./forest.ts";
import { type Model, sigmoid } from "./model.ts";
import { indexAt, listAt, numberAt, numericTextAt, objectAt, type Part, textAt } from "./reading.ts";

interface Objective {
  /** base_score is saved as a score; this gives the margin for it. */
  readonly margin: (base: number) => number;
  readonly outcome: (margin: number) => number;
}

const same = (value: number): number => value;
const logit = (share: number): number => -Math.log(1 / share - 1);
const plain: Objective = { margin: same, outcome: same };
const logistic: Objective = { margin: logit, outcome: sigmoid };
const exponential: Objective = { margin: Math.log, outcome: Math.exp };
const hinge: Objective = { margin: same, outcome: (margin) => (margin > 0 ? 1 : 0) };

const objectives: ReadonlyMap<string, Objective> = new Map([
  ["binary:logistic", logistic],
  ["reg:logistic", logistic],
  ["binary:logitraw", plain],
  ["binary:hinge", hinge],
  ...["reg:squarederror", "reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror"].map(
    (name) => [name, plain] as const,
  ),
  ...["rank:pairwise", "rank:ndcg", "rank:map"].map((name) => [name, plain] as const),
  ...["count:poisson", "reg:gamma", "reg:tweedie"].map((name) => [name, exponential] as const),
]);

/** @throws BadModel */
export function readXgboost(document: Part, iterations: number | undefined): Model {
  const learner = objectAt(document["learner"], "learner");
  const parameters = objectAt(learner["learner_model_param"], "learner.learner_model_param");
  const place = "learner.learner_model_param";
  for (const [name, most] of [
    ["num_class", 1],
    ["num_target", 1],
  ] as const) {
    const value = parameters[name] === undefined ? 0 : numericTextAt(parameters[name], `${place}.${name}`);
    if (value > most) throw new BadModel(`${place}.${name}`, `is ${value}: models of one score are taken`);
  }
  const features = featuresOf(learner, numericTextAt(parameters["num_feature"], `${place}.num_feature`));
  const name = textAt(objectAt(learner["objective"], "learner.objective")["name"], "learner.objective.name");
  const objective = objectives.get(name);
  if (objective === undefined)
    throw new BadModel("learner.objective.name", `is ${JSON.stringify(name)}, which is none that is taken`);
  const base = objective.margin(baseScore(parameters["base_score"], `${place}.base_score`));
  if (!Number.isFinite(base)) throw new BadModel(`${place}.base_score`, `does not fit ${name}`);
  return {
    format: "XGBoost",
    features,
    forest: forestOf(learner, features.length, iterations),
    isSingle: true,
    outcome: (sum) => objective.outcome(Math.fround(base + sum)),
  };
}

/** XGBoost 3.1 writes base_score in brackets. */
function baseScore(value: unknown, place: string): number {
  return numericTextAt(typeof value === "string" ? value.replace(/^\[(.*)\]$/, "$1") : value, place);
}

function featuresOf(learner: Part, count: number): string[] {
  if (!Number.isInteger(count) || count < 1 || count > 4_096)
    throw new BadModel("learner.learner_model_param.num_feature", "is none from 1 to 4096");
  const names =
    learner["feature_names"] === undefined ? [] : listAt(learner["feature_names"], "learner.feature_names");
  if (names.length === 0) return Array.from({ length: count }, (_, i) => `f${i}`);
  if (names.length !== count)
    throw new BadModel("learner.feature_names", `has ${names.length} names for ${count} features`);
  return names.map((name, i) => textAt(name, `learner.feature_names[${i}]`));
}

function forestOf(learner: Part, features: number, iterations: number | undefined): Forest {
  const at = "learner.gradient_booster";
  const booster = objectAt(learner["gradient_booster"], at);
  const isDart = booster["name"] === "dart";
  if (!isDart && booster["name"] !== "gbtree")
    throw new BadModel(`${at}.name`, `is ${JSON.stringify(booster["name"])}: gbtree and dart are taken`);
  const place = isDart ? `${at}.gbtree.model` : `${at}.model`;
  const model = objectAt((isDart ? objectAt(booster["gbtree"], `${at}.gbtree`) : booster)["model"], place);
  const trees = listAt(model["trees"], `${place}.trees`);
  const weights = isDart ? listAt(booster["weight_drop"], `${at}.weight_drop`) : undefined;
  const used = usedTrees(learner, model, trees.length, iterations);
  const builder = new ForestBuilder();
  for (const [i, tree] of trees.slice(0, used).entries()) {
    const weight = weights === undefined ? 1 : numberAt(weights[i], `${at}.weight_drop[${i}]`);
    addTree(builder, objectAt(tree, `${place}.trees[${i}]`), {
      place: `${place}.trees[${i}]`,
      features,
      weight,
    });
  }
  return builder.build();
}

/** After early stopping, XGBoost's two interfaces use different numbers of trees, so the policy owner must choose. */
function usedTrees(learner: Part, model: Part, all: number, iterations: number | undefined): number {
  const { best_iteration: best } = objectAt(learner["attributes"] ?? {}, "learner.attributes");
  const parameters = objectAt(model["gbtree_model_param"] ?? {}, "gbtree_model_param");
  const parallel = Math.max(1, Number(parameters["num_parallel_tree"] ?? 1) || 1);
  const rounds = Math.ceil(all / parallel);
  if (iterations !== undefined) {
    if (iterations > rounds)
      throw new BadModel("iterations", `is ${iterations}, and the model has ${rounds}`);
    return iterations * parallel;
  }
  if (best !== undefined && Number(best) + 1 < rounds)
    throw new BadModel(
      "learner.attributes.best_iteration",
      `is ${Number(best)} of ${rounds}: say iterations (${Number(best) + 1} as XGBClassifier predicts, ${rounds} as Booster.predict)`,
    );
  return all;
}

interface TreePlace {
  readonly place: string;
  readonly features: number;
  /** Scales the leaves: below 1 for a tree that dart has dropped at times. */
  readonly weight: number;
}

function addTree(builder: ForestBuilder, tree: Part, { place, features, weight }: TreePlace): void {
  const lists = [
    "left_children",
    "right_children",
    "split_indices",
    "split_conditions",
    "default_left",
  ] as const;
  const [lefts, rights, indices, conditions, defaults] = lists.map((name) =>
    listAt(tree[name], `${place}.${name}`),
  ) as [readonly unknown[], readonly unknown[], readonly unknown[], readonly unknown[], readonly unknown[]];
  const count = lefts.length;
  for (const [i, list] of [lefts, rights, indices, conditions, defaults].entries())
    if (list.length !== count) throw new BadModel(`${place}.${lists[i]}`, `has not ${count} entries`);
  const types = tree["split_type"] === undefined ? [] : listAt(tree["split_type"], `${place}.split_type`);
  const categorical = types.findIndex((type) => type !== 0);
  if (categorical >= 0)
    throw new BadModel(`${place}.split_type[${categorical}]`, "is categorical, which is not taken");
  const seen = new Set<number>();
  const read = (node: unknown, depth: number): TreeNode => {
    const i = node as number;
    if (seen.has(i)) throw new BadModel(place, `comes to node ${i} in two ways`);
    if (depth > maxDepth) throw new BadModel(place, `is deeper than ${maxDepth}`);
    seen.add(i);
    const condition = Math.fround(numberAt(conditions[i], `${place}.split_conditions[${i}]`));
    if (lefts[i] === -1) return { value: condition * weight };
    return {
      feature: indexAt(indices[i], `${place}.split_indices[${i}]`, features),
      // XGBoost goes left for values less than the condition, the forest for values up to the threshold.
      threshold: singleBelow(condition),
      missing: "nan",
      missingLeft: defaults[i] === 1 || defaults[i] === true,
      left: indexAt(lefts[i], `${place}.left_children[${i}]`, count),
      right: indexAt(rights[i], `${place}.right_children[${i}]`, count),
    };
  };
  if (count === 0) throw new BadModel(`${place}.left_children`, "is empty");
  builder.add(0, read);
}

const bits = new DataView(new ArrayBuffer(4));

/** The greatest single-precision number below a finite one. */
function singleBelow(value: number): number {
  if (value === 0) return -1.401298464324817e-45;
  bits.setFloat32(0, value);
  bits.setInt32(0, bits.getInt32(0) + (value > 0 ? -1 : 1));
  return bits.getFloat32(0);
}
