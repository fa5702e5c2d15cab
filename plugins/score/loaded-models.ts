// Keeps the models that policies name. Each is read from Redis once, by its digest, and kept while a policy uses it. If
// Redis is away when a sidecar starts, requests go unscored until the model can be read.
import { setTimeout } from "node:timers/promises";
import { type Services, type Store, StoreUnavailable, textOf } from "../../src/plugin-api/contract.ts";
import { type Artefact, digestOf, maxArtefactBytes, readArtefact } from "./models/artefact.ts";

const prefix = "model:";
const readLimitMs = 3_000;
const againMs = 2_000;

export interface ModelName {
  readonly name: string;
  readonly sha256: string;
}

export class LoadedModel {
  readonly name: ModelName;
  artefact: Artefact | undefined = undefined;
  /** Why the model is not loaded; undefined = loaded, or not tried yet. */
  trouble: string | undefined = undefined;
  users = 0;
  readonly ended = new AbortController();

  constructor(name: ModelName) {
    this.name = name;
  }
}

export class LoadedModels {
  readonly #services: Services;
  readonly #models = new Map<string, LoadedModel>();

  constructor(services: Services) {
    this.#services = services;
  }

  /** Rejects when Redis has no such model or another one. Call `release` at the end of every use. */
  async use(name: ModelName, store: Store): Promise<LoadedModel> {
    const key = `${name.name} ${name.sha256}`;
    const model = this.#models.get(key) ?? new LoadedModel(name);
    this.#models.set(key, model);
    model.users += 1;
    try {
      if (model.artefact === undefined) await this.#load(model, store);
    } catch (error) {
      this.release(model);
      throw error;
    }
    return model;
  }

  release(model: LoadedModel): void {
    model.users -= 1;
    if (model.users > 0) return;
    model.ended.abort();
    this.#models.delete(`${model.name.name} ${model.name.sha256}`);
  }

  close(): void {
    for (const model of this.#models.values()) model.ended.abort();
    this.#models.clear();
  }

  async #load(model: LoadedModel, store: Store): Promise<void> {
    try {
      model.artefact = await readFrom(store, model.name);
      model.trouble = undefined;
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      const isFirst = model.trouble === undefined;
      model.trouble = `${prefix}${model.name.name} cannot be read: ${textOf(error)}`;
      if (isFirst) this.#keepTrying(model, store);
    }
  }

  #keepTrying(model: LoadedModel, store: Store): void {
    const { logger } = this.#services;
    logger.warn({ model: model.name.name, because: model.trouble }, "requests are not scored: Redis is away");
    const { signal } = model.ended;
    const trying = async (): Promise<void> => {
      while (model.artefact === undefined && !signal.aborted) {
        await setTimeout(againMs, undefined, { signal, ref: false });
        await this.#load(model, store);
      }
      logger.info({ model: model.name.name }, "requests are scored: the model is there");
    };
    trying().catch((error: unknown) => {
      if (signal.aborted) return;
      model.trouble = textOf(error);
      logger.error({ model: model.name.name, err: error }, "requests are not scored: the model is refused");
    });
  }
}

async function readFrom(store: Store, { name, sha256 }: ModelName): Promise<Artefact> {
  const bytes = await store.getBytes(prefix + name, readLimitMs, maxArtefactBytes);
  if (bytes === null)
    throw new Error(`model.name: there is no key ${prefix}${name}: publish it by "outrigger score publish"`);
  if (digestOf(bytes) !== sha256)
    throw new Error(`model.sha256: what is in ${prefix}${name} has another SHA-256`);
  try {
    return readArtefact(bytes);
  } catch (error) {
    throw new Error(`model ${name}: ${textOf(error)}`, { cause: error });
  }
}
