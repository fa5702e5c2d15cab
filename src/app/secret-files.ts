// Files of secrets, read again when they change: passwords and keys are rotated, and requests must not notice. The new
// ones are proven where they are used; until then, and when they are wrong, what was in use before stays.
import { textOf } from "../plugin-api/error-text.ts";
import { stat } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { Config, ConfigReader, SecretSettings } from "../config/config.ts";
import type { Logger } from "../plugin-api/contract.ts";
import type { RenewableStore } from "../redis/renewable-store.ts";
import type { PolicyInForce } from "./policy-in-force.ts";

/** Looks, because file watchers miss what is done to symbolic links (Kubernetes) and on network file systems. */
const everyMs = 2_000;
/** Files that change together, or are half written, are taken once they have been still for so long … */
const stillMs = 200;
/** … or after so many looks. */
const maxLooks = 20;
const maxRetryMs = 300_000;

export class SecretFiles {
  readonly #config: Config;
  readonly #reader: Pick<ConfigReader, "reread">;
  readonly #logger: Logger;
  readonly #store: Pick<RenewableStore, "renew"> | undefined;
  #policy: Pick<PolicyInForce, "has" | "renew"> | undefined;
  readonly #timer: NodeJS.Timeout | undefined;
  /** What the files hold, as far as it could be read. */
  #wanted: SecretSettings;
  #seen: string | undefined;
  #looking = false;
  #told = "";
  #refusal = "";
  #retryMs = everyMs;
  #retryAtMono = 0;
  #closed = false;
  /** Told when they hold something else. */
  onChanged: () => void = () => {};

  /** @param reader knows the secrets of this process's plugins */
  constructor(
    config: Config,
    reader: Pick<ConfigReader, "reread">,
    logger: Logger,
    store: Pick<RenewableStore, "renew"> | undefined,
  ) {
    this.#config = config;
    this.#reader = reader;
    this.#logger = logger;
    this.#store = store;
    this.#wanted = config;
    if (Object.keys(config.secretFiles).length === 0) return;
    this.#timer = setInterval(() => void this.#look(), everyMs).unref();
    process.on("SIGHUP", this.#readNow);
    void this.#look();
  }

  /** In a process that serves: has this policy set up anew when its secrets have changed. */
  renewIn(policy: Pick<PolicyInForce, "has" | "renew">): void {
    this.#policy = policy;
  }

  /** As it is now. */
  get adminToken(): string | undefined {
    return this.#wanted.adminToken;
  }

  /** Of plugins, likewise; what serves may still use those before. */
  get pluginSecrets(): SecretSettings["secrets"] {
    return this.#wanted.secrets;
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    process.off("SIGHUP", this.#readNow);
  }

  readonly #readNow = (): void => {
    this.#seen = undefined;
    this.#retryAtMono = 0;
    void this.#look();
  };

  /** Never rejects. One at a time: a file system that hangs holds up the looks and nothing else. */
  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      let { seen, files } = await this.#state();
      if (seen !== this.#seen) {
        for (let looks = 0, still = false; looks < maxLooks && !still; looks += 1) {
          const before = seen;
          await delay(stillMs, undefined, { ref: false });
          ({ seen, files } = await this.#state());
          still = seen === before;
        }
        if (this.#closed) return;
        this.#seen = seen;
        this.#read(files);
      }
      await this.#renewPolicy();
    } finally {
      this.#looking = false;
    }
  }

  /** @returns what tells one state of the files from another, and those that can be read again: a pipe gives once */
  async #state(): Promise<{ seen: string; files: Config["secretFiles"] }> {
    const files: Record<string, string> = {};
    const seen: string[] = [];
    for (const [name, path] of Object.entries(this.#config.secretFiles)) {
      try {
        const found = await stat(path, { bigint: true });
        const { dev, ino, size, mtimeNs, ctimeNs } = found;
        if (found.isFile()) files[name] = path;
        seen.push([name, dev, ino, size, mtimeNs, ctimeNs].join());
      } catch (error) {
        files[name] = path; // reading it says what is wrong
        seen.push([name, (error as NodeJS.ErrnoException).code].join());
      }
    }
    return { seen: seen.join("\n"), files };
  }

  #read(files: Config["secretFiles"]): void {
    const problems: string[] = [];
    const now = this.#reader.reread(files, this.#wanted, problems);
    const told = problems.join("\n");
    if (told !== "" && told !== this.#told)
      this.#logger.error({ problems }, "secret file cannot be used; keeping the previous value");
    this.#told = told;
    const before = this.#wanted;
    this.#wanted = now;
    if (now.redis !== undefined) this.#store?.renew(now.redis);
    const { redis, adminToken, storeKeys, secrets } = before;
    if (isDeepStrictEqual(now, { redis, adminToken, storeKeys, secrets })) return;
    this.#logger.info({}, "secret files changed");
    this.onChanged();
    this.#retryMs = everyMs;
    this.#retryAtMono = 0;
  }

  /** Also when a policy that was being set up before the change came into force after it. */
  async #renewPolicy(): Promise<void> {
    const { secrets, storeKeys } = this.#wanted;
    const policy = this.#policy;
    if (policy === undefined || performance.now() < this.#retryAtMono) return;
    if (policy.has({ secrets, storeKeys })) {
      this.#refusal = "";
      return;
    }
    try {
      await policy.renew({ secrets, storeKeys });
      this.#refusal = "";
      this.#logger.info({}, "the policy in force uses the new secrets");
    } catch (error) {
      const reason = textOf(error);
      if (reason !== this.#refusal)
        this.#logger.error(
          { reason },
          "the policy in force cannot be set up with the new secrets; keeping the previous ones",
        );
      this.#refusal = reason;
      this.#retryAtMono = performance.now() + this.#retryMs;
      this.#retryMs = Math.min(this.#retryMs * 2, maxRetryMs);
    }
  }
}
