// Rules: every rule that takes a request's path and method must let the caller pass, and a deny rule that holds refuses
// whatever the others say. So their order never matters, and one more rule can only narrow.
import { compileMethods } from "../../../src/language/methods.ts";
import { compilePaths, type PathSet, type RequestPaths } from "../../../src/language/path-pattern.ts";
import { compileSpiffePatterns } from "../../../src/language/spiffe-id.ts";
import type { Clock, Counter, ExchangeRequest, Services } from "../../../src/plugin-api/contract.ts";
import { anyHolds, compileCondition, firstFailure, type Condition, type Subject } from "./conditions.ts";
import type { RuleOptions } from "./options.ts";
import { ruleRefusals } from "../metrics.ts";

export interface RuleFailure {
  readonly rule: string;
  /** Name of the first condition that failed, or `deny`. */
  readonly condition: string;
}

interface Rule {
  readonly name: string;
  readonly methods: ReadonlySet<string> | undefined;
  readonly paths: PathSet;
  readonly deny: boolean;
  readonly dryRun: boolean;
  readonly conditions: readonly Condition[];
  /** Which SPIFFE ids the client's certificate may have; undefined = not asked. */
  readonly isPeer: ((id: string) => boolean) | undefined;
  /** Whether it asks what the client's certificate is. */
  readonly readsCertificate: boolean;
  /** Whether callers must be known: not where the rule asks for the peer alone. */
  readonly asksIdentity: boolean;
}

const dryRunLogMs = 1_000;

const alone = (path: string): RequestPaths => ({ path, strippedPath: path, upstreamPath: path });

/** Whether it is one of them, on this very connection, and its certificate has not ended meanwhile. */
function comesFrom(isPeer: (id: string) => boolean, { exchange }: Subject, nowMs: number): boolean {
  const svid = exchange.client.tls?.svid;
  return svid !== undefined && nowMs < svid.endsMs && isPeer(svid.id);
}

/** @returns why a rule refuses; undefined = it lets pass */
function judge(rule: Rule, subject: Subject, clock: Clock): RuleFailure | undefined {
  if (rule.deny)
    return anyHolds(rule.conditions, subject) ? { rule: rule.name, condition: "deny" } : undefined;
  if (rule.isPeer !== undefined && !comesFrom(rule.isPeer, subject, clock.now()))
    return { rule: rule.name, condition: "peer" };
  if (!rule.asksIdentity) return undefined;
  // Any allow rule asks for a known caller, also one without conditions.
  if (subject.identity === undefined) return { rule: rule.name, condition: "identity" };
  const condition = firstFailure(rule.conditions, subject);
  return condition === undefined ? undefined : { rule: rule.name, condition };
}

const made = {
  exact: new WeakMap<object, readonly Rule[]>(),
  folded: new WeakMap<object, readonly Rule[]>(),
};

/** Of thousands of routes most have the same rules from the policy's top: what is made of them is made once. */
function compiled(options: readonly RuleOptions[], foldsCase: boolean): readonly Rule[] {
  const known = foldsCase ? made.folded : made.exact;
  let rules = known.get(options);
  if (rules !== undefined) return rules;
  rules = options.map((rule, index): Rule => {
    const given = rule.allowAny ?? [rule.deny ?? rule.allow ?? {}];
    return {
      name: rule.name ?? String(index),
      methods: rule.methods && compileMethods(rule.methods),
      paths: compilePaths([rule.path], foldsCase),
      deny: rule.deny !== undefined,
      dryRun: rule.dryRun,
      conditions: given.map(compileCondition),
      readsCertificate: given.some(({ certificate }) => certificate !== undefined),
      isPeer: rule.peer && compileSpiffePatterns(rule.peer),
      asksIdentity: rule.allow !== undefined || rule.allowAny !== undefined,
    };
  });
  known.set(options, rules);
  return rules;
}

export class Rules {
  readonly #rules: readonly Rule[];
  readonly #services: Services;
  readonly #refused: (...labels: string[]) => Counter;
  #loggedMono = -Infinity;
  #unlogged = 0;

  /** @param foldsCase whether the route's service takes paths that differ in case alone for the same one */
  constructor(options: readonly RuleOptions[], services: Services, foldsCase: boolean) {
    this.#services = services;
    this.#refused = ruleRefusals(services.metrics);
    const rules = compiled(options, foldsCase);
    // Deny rules first: the reason that is logged does not depend on the order in the policy.
    this.#rules = [...rules.filter((rule) => rule.deny), ...rules.filter((rule) => !rule.deny)];
  }

  /** Whether there is anything to check. */
  get any(): boolean {
    return this.#rules.length > 0;
  }

  /** Whether one of them asks what the client's certificate is. */
  get readCertificates(): boolean {
    return this.#rules.some(({ readsCertificate }) => readsCertificate);
  }

  /** Whether a rule could be about a path. */
  concern(method: string, path: string): boolean {
    const paths = alone(path);
    return this.#rules.some((rule) => rule.methods?.has(method) !== false && rule.paths.couldBe(paths));
  }

  /** Whether a rule could be about what the service gets by its upstream's base path, and not about the path without it. */
  concernBased({ method, strippedPath, upstreamPath }: ExchangeRequest): boolean {
    if (upstreamPath === strippedPath) return false;
    const [based, bare] = [alone(upstreamPath), alone(strippedPath)];
    return this.#rules.some(
      ({ methods, paths }) => methods?.has(method) !== false && paths.couldBe(based) && !paths.couldBe(bare),
    );
  }

  /** Whether it depends on how the service reads an encoded slash which rules hold. */
  disputed(request: ExchangeRequest): boolean {
    if (!request.path.includes("%2F")) return false;
    return this.#rules.some(
      ({ methods, paths }) =>
        methods?.has(request.method) !== false && paths.couldBe(request) !== paths.couldBe(request, "kept"),
    );
  }

  /**
   * @param again the exchange goes on: what is in dry run was told of when it came
   * @returns the first refusal; dry runs are logged and counted on the way
   */
  check(subject: Subject, again = false): RuleFailure | undefined {
    const { request } = subject.exchange;
    for (const rule of this.#rules) {
      if (again && rule.dryRun) continue;
      if (rule.methods?.has(request.method) === false || !rule.paths.couldBe(request)) continue;
      const failure = judge(rule, subject, this.#services.clock);
      if (failure === undefined) continue;
      this.#refused(failure.rule, failure.condition, rule.dryRun ? "dry-run" : "enforced").inc();
      if (!rule.dryRun) return failure;
      this.#logDryRun(failure, subject);
    }
    return undefined;
  }

  /** At most a line a second: a rule tried out on busy traffic must not flood the log. */
  #logDryRun(failure: RuleFailure, { exchange, identity }: Subject): void {
    const now = this.#services.clock.mono();
    if (now - this.#loggedMono < dryRunLogMs) {
      this.#unlogged += 1;
      return;
    }
    const facts = { ...failure, requestId: exchange.id, userId: identity?.userId, unlogged: this.#unlogged };
    this.#services.logger.info(facts, "a rule in dry run would have refused this request");
    this.#loggedMono = now;
    this.#unlogged = 0;
  }
}
