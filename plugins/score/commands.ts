// Declares the `score` commands with their arguments and options. The code of a command is loaded when it runs.
import { type CommandGroup, defineCommand } from "../../src/plugin-api/contract.ts";

export const commands: readonly CommandGroup[] = [
  {
    name: "score",
    about: "work on models that requests are scored by",
    commands: [
      defineCommand({
        name: "publish",
        about: "check a model and put it into Redis, where policies find it",
        options: {
          file: {
            positional: true,
            required: true,
            about: "model.json of XGBoost, dump_model() of LightGBM, or such a document with golden rows",
          },
          as: {
            value: "name@version",
            required: true,
            about: "what policies call it; a version never changes",
          },
          golden: {
            value: "file",
            about: 'rows whose scores are known: [{ "row": [1, null], "score": 0.2 }]',
          },
          training: {
            value: "file",
            about: 'what features were like in training: { "age": { "mean": 40, "deviation": 12 } }',
          },
          iterations: { value: "n", about: "boosting rounds that count (default: all)" },
        },
        run: async (context, given) => (await import("./publish.ts")).publishModel(context, given),
      }),
    ],
  },
];
