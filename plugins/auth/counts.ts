// Counts the results of requests. Each counter is resolved once for its pair of labels.
import type { Counter, Metrics } from "../../src/plugin-api/contract.ts";
import type { AuthMethod } from "./auth-result.ts";
import { authTotal } from "./metrics.ts";

export type AuthResult =
  | "allowed"
  | "anonymous"
  | "excluded"
  | "refused"
  | "forbidden"
  | "limited"
  | "unavailable"
  | "redirected";

export class AuthCounts {
  readonly #family: (...labels: string[]) => Counter;
  readonly #children: Partial<Record<AuthResult, Map<string, Counter>>> = {};

  constructor(metrics: Metrics) {
    this.#family = authTotal(metrics);
  }

  count(method: AuthMethod, result: AuthResult): void {
    const children = (this.#children[result] ??= new Map());
    let child = children.get(method);
    if (child === undefined) {
      child = this.#family(method, result);
      children.set(method, child);
    }
    child.inc();
  }
}
