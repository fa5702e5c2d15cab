// The metrics that the code declares: their names and labels, as they stand in its text.
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");

const declaration =
  /\b(counter|gauge|histogram)\(\s*("outrigger_\w+"|\w+),\s*(?:"[^"]*"|`[^`]*`),?\s*(\[[^\]]*\])?/g;
/** A family as data. */
const literal = /\bname: "(outrigger_\w+)",\s*help: "[^"]*",\s*type: "\w+",\s*labels: (\[[^\]]*\])/g;
const constant = /\b(?:export )?const (\w+) = "(outrigger_\w+)"/g;

const words = (text: string): string[] => [...text.matchAll(/"(\w+)"/g)].map(([, word = ""]) => word);

/** All code's text, as one. */
export const codeText: string = globSync("{src,plugins}/**/*.ts", { cwd: root })
  .map((file) => readFileSync(join(root, file), "utf8"))
  .join("\n");

/** @returns labels by metric, without those that every series has */
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
