// What a plugin tells `policy lint`: what it does for a route, and what valid options say that is probably not meant.
// Pure, and asked by commands alone: no request ever waits for it.

/**
 * `identity`: learns who calls · `authentication`: and lets nobody else in · `limit`: every request counts against some
 * limit · `answer`: answers every request itself, so that none reaches the service · `addresses`: lets in nobody but from
 * some networks · `rule`: has a rule that is asked about some request.
 */
export type Provision = "identity" | "authentication" | "limit" | "answer" | "addresses" | "rule";

/** `true`, or why not: begins in lower case, without a full stop. */
export type Provided = true | string;

/** What a plugin can do for a route, each by its options there. */
export interface Provisions<Options> {
  identity?(options: Options, route: LintRouteReach): Provided;
  authentication?(options: Options, route: LintRouteReach): Provided;
  limit?(options: Options, route: LintRouteReach): Provided;
  answer?(options: Options, route: LintRouteReach): Provided;
  addresses?(options: Options, route: LintRouteReach): Provided;
  rule?(options: Options, route: LintRouteReach): Provided;
}

/** A route with the paths and methods that come to it; patterns are those of policies. */
export interface LintRouteReach {
  readonly path: string;
  readonly stripPrefix: string | undefined;
  /** Whether some request for a path that is spelled so comes to this route and to no other. @param methods absent = any */
  takes(pattern: string, methods?: readonly string[]): boolean;
  /** Whether some request here could be read as one for such a path, be it the client's or the one that the service gets. */
  serves(pattern: string, methods?: readonly string[]): boolean;
  /** Whether every request here is for such a path. */
  isWithin(pattern: string, methods?: readonly string[]): boolean;
}

export interface LintRoute extends LintRouteReach {
  /** Whether one of its plugins does that. */
  provides(what: Provision): boolean;
}

export interface LintFinding {
  /** Where in the plugin's options. */
  readonly path: readonly (string | number)[];
  /** What is the matter; begins in lower case, without a full stop. */
  readonly message: string;
  /** What to do about it, likewise. */
  readonly advice: string;
}

export interface LintRule<Options> {
  /** One line, for the table of codes. */
  readonly about: string;
  /** Counts only when it is found on every route that has the option from there: "never" is said of all of them. */
  readonly everywhere?: true;
  /**
   * @param options checked, with their defaults
   * @param everywhere those of all routes that run the plugin, each once
   */
  check(options: Options, route: LintRoute, everywhere: readonly Options[]): Iterable<LintFinding>;
}

export interface PluginLint<Options> {
  readonly provides?: Provisions<Options>;
  /** By the last part of their code: `never-binds` of `rate-limit` is `rate-limit/never-binds`. Codes are for ever. */
  readonly rules?: Readonly<Record<string, LintRule<Options>>>;
}
