// Holds the current secrets of plugins, whose files may change while the sidecar runs. A set-up keeps the secrets that
// it was given. Whatever outlives set-ups asks here and gets those in force.
import { createSeals } from "../redis/seals.ts";
import type { StoreSeal, StoreSeals } from "../plugin-api/store.ts";
import type { Secrets } from "../plugin-api/services.ts";
import { createSecrets, type SecretHosts } from "../config/secret-hosts.ts";

/** Secrets from the settings, for plugins. */
export interface SecretValues {
  readonly secrets: Readonly<Record<string, string>>;
  readonly storeKeys: readonly string[] | undefined;
}

/** One consistent state of all secrets. */
export interface SecretGeneration {
  readonly values: SecretValues;
  readonly secrets: Secrets;
}

export class LiveSecrets implements Secrets {
  readonly #hosts: SecretHosts;
  #last = 0;
  #inForce: SecretGeneration;

  constructor(values: SecretValues, hosts: SecretHosts) {
    this.#hosts = hosts;
    this.#inForce = this.next(values);
  }

  /** Makes a state that is not in force yet. */
  next(values: SecretValues): SecretGeneration {
    const generation = ++this.#last;
    return { values, secrets: { generation, ...createSecrets(values.secrets, this.#hosts) } };
  }

  get inForce(): SecretGeneration {
    return this.#inForce;
  }

  use(generation: SecretGeneration): void {
    this.#inForce = generation;
  }

  get generation(): number | undefined {
    return this.#inForce.secrets.generation;
  }

  get(name: string): string | undefined {
    return this.#inForce.secrets.get(name);
  }

  sentTo(name: string, url: string): string {
    return this.#inForce.secrets.sentTo(name, url);
  }

  /** Seals with the keys in force; undefined when there are no keys. */
  seals(keyPrefix: string, service: string): StoreSeals | undefined {
    if (this.#inForce.values.storeKeys === undefined) return undefined;
    return {
      of: (purpose) => {
        let keys: readonly string[] | undefined;
        let seal: StoreSeal | undefined;
        const now = (): StoreSeal => {
          const { storeKeys = [] } = this.#inForce.values;
          if (seal === undefined || keys !== storeKeys) {
            keys = storeKeys;
            seal = createSeals(keys, keyPrefix, service).of(purpose);
          }
          return seal;
        };
        return {
          seal: (key, value, untilMs) => now().seal(key, value, untilMs),
          open: (key, sealed, nowMs) => now().open(key, sealed, nowMs),
        };
      },
    };
  }
}
