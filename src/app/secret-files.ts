// Rereads the files of secrets when they change, because passwords and keys are rotated and requests must not notice.
// New values are proven where they are used. Until then, and when they are wrong, the previous values stay in use.
import { textOf } from "../plugin-api/error-text.ts";
import { stat } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { Config, ConfigReader, SecretSettings } from "../config/config.ts";
import type { Logger } from "../plugin-api/contract.ts";
import type { RenewableStore } from "../redis/renewable-store.ts";
import type { PolicyInForce } from "./policy-in-force.ts";

/** Polls, because file watchers miss changes of symbolic links (Kubernetes) and of network file systems. */
const everyMs = 2_000;
/** Files that change together, or are half written, are read only after they have not changed for this long … */
const stillMs = 200;
/** … or after this many looks. */
const maxLooks = 20;
const maxRetryMs = 300_000;

export class SecretFiles {
  readonly #config: Config;
  readonly #reader: Pick<ConfigReader, "reread">;
  readonly #logger: Logger;
  readonly #store: Pick<RenewableStore, "renew"> | undefined;
  #policy: Pick<PolicyInForce, "has" | "renew"> | undefined;
  readonly #timer: NodeJS.Timeout | undefined;
  /** What the files hold, as far as they could be read. */
  #wanted: SecretSettings;
  #seen: string | undefined;
  #looking = false;
  #told = "";
  #refusal = "";
  #retryMs = everyMs;
  #retryAtMono = 0;
  #closed = false;
  /** Called when the files hold something else. */
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

  /** For a process that serves: sets this policy up again whenever its secrets have changed. */
  renewIn(policy: Pick<PolicyInForce, "has" | "renew">): void {
    this.#policy = policy;
  }

  /** The current value. */
  get adminToken(): string | undefined {
    return this.#wanted.adminToken;
  }

  /** The current secrets of plugins. The policy in force may still use the previous ones. */
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

  /** Never rejects. One look at a time: a file system that hangs stops only the looks. */
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

  /**
   * @returns a text that changes with the files' state, and the files that can be read again (a pipe can be read only
   * once)
   */
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
        files[name] = path; // reading it will report the problem
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

  /**
   * Sets the policy up with the current secrets. This also covers a policy whose set-up began before the change and
   * that came into force after it.
   */
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
