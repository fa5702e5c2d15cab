// Reads `example.json` from a plugin's folder: the options and the request for fault tests and the benchmark.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";

const shape = z.strictObject({
  options: z.record(z.string(), z.unknown()).default({}).describe("As a policy writes them"),
  request: z
    .strictObject({
      method: z.string().default("GET"),
      path: z.string().startsWith("/").default("/"),
      headers: z.record(z.string(), z.string()).default({}),
    })
    .prefault({}),
});

export type Example = z.output<typeof shape>;

/** Uses defaults when there is no file. @throws Error that says what is wrong with the file */
export async function readExample(folder: string): Promise<Example> {
  const path = join(folder, "example.json");
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return shape.parse({});
    throw error;
  }
  try {
    return shape.parse(JSON.parse(text));
  } catch (error) {
    const why = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    throw new Error(`${path}: ${why}`, { cause: error });
  }
}
