// A folder of secrets as Kubernetes projects it: `NAME` is a symbolic link to `..data/NAME`, and `..data` is one to the
// current folder, which is replaced as a whole.
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export class SecretFolder {
  readonly #dir = mkdtempSync(join(tmpdir(), "outrigger-secrets-"));
  #held: Readonly<Record<string, string>>;
  #moment = 0;

  constructor(held: Readonly<Record<string, string>>) {
    this.#held = held;
    this.write(held);
    for (const name of Object.keys(held)) symlinkSync(join("..data", name), join(this.#dir, name));
  }

  /** Variables `<NAME>_FILE` for all secrets. */
  get env(): Record<string, string> {
    return Object.fromEntries(Object.keys(this.#held).map((name) => [`${name}_FILE`, join(this.#dir, name)]));
  }

  /** Replaces the folder by one with these secrets changed. */
  write(changed: Readonly<Record<string, string>>): void {
    this.#held = { ...this.#held, ...changed };
    const folder = `..${++this.#moment}`;
    mkdirSync(join(this.#dir, folder));
    for (const [name, text] of Object.entries(this.#held))
      writeFileSync(join(this.#dir, folder, name), `${text}\n`);
    symlinkSync(folder, join(this.#dir, "..data_tmp"));
    renameSync(join(this.#dir, "..data_tmp"), join(this.#dir, "..data"));
    if (this.#moment > 1) rmSync(join(this.#dir, `..${this.#moment - 1}`), { recursive: true });
  }

  remove(): void {
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
