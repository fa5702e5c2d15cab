// Finds the metrics that the code declares, with their labels, by reading the source text.
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");

const declaration =
  /\b(counter|gauge|histogram)\(\s*("outrigger_\w+"|\w+),\s*(?:"[^"]*"|`[^`]*`),?\s*(\[[^\]]*\])?/g;
/** Matches a metric family that is declared as an object literal. */
const literal = /\bname: "(outrigger_\w+)",\s*help: "[^"]*",\s*type: "\w+",\s*labels: (\[[^\]]*\])/g;
const constant = /\b(?:export )?const (\w+) = "(outrigger_\w+)"/g;

const words = (text: string): string[] => [...text.matchAll(/"(\w+)"/g)].map(([, word = ""]) => word);

/** Text of all source files, concatenated. */
export const codeText: string = globSync("{src,plugins}/**/*.ts", { cwd: root })
  .map((file) => readFileSync(join(root, file), "utf8"))
  .join("\n");

/** @returns labels by metric name, without the labels that every series has */
export function declaredMetrics(): Map<string, readonly string[]> {
  const constants = new Map(
    [...codeText.matchAll(constant)].map(([, name = "", value = ""]) => [name, value]),
  );
  const found = new Map<string, readonly string[]>();
  for (const [, , name = "", labels = ""] of codeText.matchAll(declaration)) {
    const metric = name.startsWith('"') ? name.slice(1, -1) : constants.get(name);
    if (metric !== undefined) found.set(metric, words(labels));
  }
  for (const [, name = "", labels = ""] of codeText.matchAll(literal)) found.set(name, words(labels));
  return found;
}
