// Keys whose last answer could not be stored: nobody waits for their next one, and Redis is not asked for it.

const lifeMs = 10_000;
const maxMarks = 10_000;

export class UncacheableMarks {
  readonly #until = new Map<string, number>();

  has(key: string, nowMono: number): boolean {
    if (this.#until.size === 0) return false;
    const until = this.#until.get(key);
    if (until === undefined) return false;
    if (nowMono < until) return true;
    this.#until.delete(key);
    return false;
  }

  add(key: string, nowMono: number): void {
    this.#until.delete(key);
    this.#until.set(key, nowMono + lifeMs);
    if (this.#until.size <= maxMarks) return;
    const [oldest] = this.#until.keys();
    if (oldest !== undefined) this.#until.delete(oldest);
  }

  delete(key: string): void {
    this.#until.delete(key);
  }
}
