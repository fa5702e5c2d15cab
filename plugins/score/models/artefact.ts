// Reads the published form of a model, one JSON document: the file that the library saved, golden rows with known
// scores, and how the features were distributed in training.
import { hash } from "node:crypto";
import { z } from "../../../src/plugin-api/contract.ts";
import { BadModel } from "./forest.ts";
import { readLightgbm } from "./lightgbm.ts";
import { type Model, scoreOf } from "./model.ts";
import { type Part, objectAt } from "./reading.ts";
import { readXgboost } from "./xgboost.ts";

export const maxArtefactBytes = 4_194_304;

const artefact = z.strictObject({
  model: z.record(z.string(), z.unknown()),
  /** Boosting rounds to use; default: all. */
  iterations: z.int().min(1).max(100_000).optional(),
  golden: z
    .array(z.strictObject({ row: z.array(z.number().nullable()).max(4_096), score: z.number() }))
    .max(1_000)
    .default([]),
  training: z
    .record(z.string(), z.strictObject({ mean: z.number(), deviation: z.number().positive() }))
    .default({}),
});

export type Training = Readonly<Record<string, { readonly mean: number; readonly deviation: number }>>;

export interface Artefact {
  readonly model: Model;
  readonly training: Training;
  readonly golden: number;
}

export const digestOf = (bytes: Buffer): string => hash("sha256", bytes);

/** @throws BadModel, naming the place, if it is no model or does not give the scores of its golden rows */
export function readArtefact(bytes: Buffer): Artefact {
  if (bytes.length > maxArtefactBytes)
    throw new BadModel("the model", `has ${bytes.length} bytes, and ${maxArtefactBytes} are the most`);
  const parsed = artefact.safeParse(documentIn(bytes));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new BadModel(issue?.path.join(".") || "the model", issue?.message ?? "is none");
  }
  const { model: saved, iterations, golden, training } = parsed.data;
  const model = readModel(saved, iterations);
  for (const name of Object.keys(training))
    if (!model.features.includes(name)) throw new BadModel(`training.${name}`, "is no feature of the model");
  for (const [i, { row, score }] of golden.entries()) {
    if (row.length !== model.features.length)
      throw new BadModel(
        `golden[${i}].row`,
        `has ${row.length} values for ${model.features.length} features`,
      );
    const own = scoreOf(
      model,
      Float64Array.from(row, (value) => value ?? Number.NaN),
    );
    if (!isNear(own, score))
      throw new BadModel(`golden[${i}]`, `has the score ${score}, and the model gives ${own}`);
  }
  return { model, training, golden: golden.length };
}

/** @param saved the file as XGBoost or LightGBM saved it @throws BadModel */
export function readModel(saved: Part, iterations?: number): Model {
  if ("learner" in saved) return readXgboost(objectAt(saved, "the model"), iterations);
  if ("tree_info" in saved) return readLightgbm(objectAt(saved, "the model"), iterations);
  throw new BadModel("the model", "is neither XGBoost's model.json nor LightGBM's dump_model()");
}

export function documentIn(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8")) as unknown;
  } catch (error) {
    throw new BadModel("the model", `is no JSON: ${(error as SyntaxError).message.slice(0, 200)}`);
  }
}

/** The tolerance allows for XGBoost adding in single precision. */
const isNear = (one: number, other: number): boolean =>
  Math.abs(one - other) <= 1e-6 + 1e-5 * Math.abs(other);
