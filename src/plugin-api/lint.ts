// Defines what a plugin tells `policy lint`: what the plugin does for a route, and which valid options probably do not
// mean what their author wanted. The functions are pure, and only commands call them: no request waits for them.

/**
 * `identity`: finds out who calls · `authentication`: lets in only authenticated callers · `limit`: counts every
 * request against some limit · `answer`: answers every request itself, so that none reaches the service · `addresses`:
 * lets in only some networks · `rule`: applies a rule to some request.
 */
export type Provision = "identity" | "authentication" | "limit" | "answer" | "addresses" | "rule";

/** `true`, or why not: a text that begins in lower case, without a full stop. */
export type Provided = true | string;

/** What a plugin can do for a route, decided from its options there. */
export interface Provisions<Options> {
  identity?(options: Options, route: LintRouteReach): Provided;
  authentication?(options: Options, route: LintRouteReach): Provided;
  limit?(options: Options, route: LintRouteReach): Provided;
  answer?(options: Options, route: LintRouteReach): Provided;
  addresses?(options: Options, route: LintRouteReach): Provided;
  rule?(options: Options, route: LintRouteReach): Provided;
}

/** A route, with questions about the paths and methods that reach it. Patterns are written as in policies. */
export interface LintRouteReach {
  readonly path: string;
  readonly stripPrefix: string | undefined;
  /**
   * Whether some request whose path is spelled like this reaches this route and no other.
   * @param methods absent = any
   */
  takes(pattern: string, methods?: readonly string[]): boolean;
  /**
   * Whether some request on this route could be read as one for such a path, either as the client sent it or as the
   * service gets it.
   */
  serves(pattern: string, methods?: readonly string[]): boolean;
  /** Whether every request on this route has such a path. */
  isWithin(pattern: string, methods?: readonly string[]): boolean;
}

export interface LintRoute extends LintRouteReach {
  /** Whether one of the route's plugins provides this. */
  provides(what: Provision): boolean;
}

export interface LintFinding {
  /** Where in the plugin's options it is. */
  readonly path: readonly (string | number)[];
  /** What is wrong; begins in lower case, without a full stop. */
  readonly message: string;
  /** What to do about it; begins in lower case, without a full stop. */
  readonly advice: string;
}

export interface LintRule<Options> {
  /** One line, for the table of codes. */
  readonly about: string;
  /**
   * For rules that say "never": a finding about an option of the policy's top-level `pluginConfig` counts only if every
   * route that takes the option from there has it.
   */
  readonly everywhere?: true;
  /**
   * @param options checked options, with their defaults
   * @param everywhere the options of all routes that run the plugin, without duplicates
   */
  check(options: Options, route: LintRoute, everywhere: readonly Options[]): Iterable<LintFinding>;
}

export interface PluginLint<Options> {
  readonly provides?: Provisions<Options>;
  /**
   * Rules by the last part of their code: `never-binds` of `rate-limit` has the code `rate-limit/never-binds`. A code
   * must never change.
   */
  readonly rules?: Readonly<Record<string, LintRule<Options>>>;
}
