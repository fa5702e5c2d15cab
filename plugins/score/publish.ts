// `outrigger score publish FILE --as fraud@3`: checks a model and writes it to Redis.
import { readFile } from "node:fs/promises";
import { type CommandContext, type Store, textOf } from "../../src/plugin-api/contract.ts";
import { type Artefact, digestOf, documentIn, readArtefact } from "./models/artefact.ts";

const limitMs = 10_000;

export interface PublishOptions {
  readonly file: string;
  readonly as: string;
  readonly golden: string | undefined;
  readonly training: string | undefined;
  readonly iterations: string | undefined;
}

/** @returns the exit code */
export async function publishModel(context: CommandContext, options: PublishOptions): Promise<number> {
  if (!/^[a-z][a-z0-9-]{0,62}@[0-9A-Za-z.+-]{1,64}$/.test(options.as)) {
    context.err(`--as takes a name and a version, such as fraud@3, not ${JSON.stringify(options.as)}\n`);
    return 2;
  }
  let bytes: Buffer;
  let told: Artefact;
  try {
    bytes = await artefactOf(options);
    told = readArtefact(bytes);
  } catch (error) {
    context.err(`${options.file}: ${textOf(error)}\n`);
    return 1;
  }
  return await context.withStore({ because: "models are kept there" }, async ({ store }) => {
    const isThere = await put(store, options.as, bytes);
    if (isThere) tell(context, options.as, digestOf(bytes), told);
    else
      context.err(`${options.as} is there with other content: a version never changes, take the next one\n`);
    return isThere ? 0 : 1;
  });
}

/** @returns false when the name is taken by other content */
async function put(store: Store, name: string, bytes: Buffer): Promise<boolean> {
  const key = `model:${name}`;
  if (await store.set(key, bytes, { ifAbsent: true, limitMs })) return true;
  const there = await store.getBytes(key, limitMs);
  return there !== null && digestOf(there) === digestOf(bytes);
}

function tell(context: CommandContext, name: string, sha256: string, { model, golden }: Artefact): void {
  const { format, features, forest } = model;
  const facts = { model: name, sha256, format, trees: forest.trees, features, golden };
  if (context.json) context.out(`${JSON.stringify(facts, null, 2)}\n`);
  else {
    context.out(`${name}: ${format}, ${forest.trees} trees, ${features.length} features\n`);
    context.out(`model: { name: ${JSON.stringify(name)}, sha256: ${sha256} }\n`);
  }
  if (golden === 0)
    context.err("it has no golden rows: nothing shows that its scores are the library's (--golden)\n");
}

async function artefactOf({ file, golden, training, iterations }: PublishOptions): Promise<Buffer> {
  const bytes = await readFile(file);
  const document = documentIn(bytes);
  const isWhole = typeof document === "object" && document !== null && "model" in document;
  const whole = isWhole ? document : { model: document };
  return Buffer.from(
    JSON.stringify({
      ...whole,
      ...(golden !== undefined && { golden: documentIn(await readFile(golden)) }),
      ...(training !== undefined && { training: documentIn(await readFile(training)) }),
      ...(iterations !== undefined && { iterations: Number(iterations) }),
    }),
  );
}
