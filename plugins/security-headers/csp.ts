// Checks a policy's Content-Security-Policy for mistakes that browsers ignore silently, and prepares it for a nonce.

/** Directives of CSP Level 3 and of the specifications that add to it. A browser ignores any other. */
const directives = new Set(
  (
    "base-uri child-src connect-src default-src fenced-frame-src font-src form-action frame-ancestors frame-src img-src " +
    "manifest-src media-src object-src report-to report-uri require-trusted-types-for sandbox script-src script-src-attr " +
    "script-src-elem style-src style-src-attr style-src-elem trusted-types upgrade-insecure-requests webrtc worker-src"
  ).split(" "),
);

/** Keywords that have a meaning only in quotes. Without quotes they are host names. */
const keywords =
  /^(?:none|self|unsafe-inline|unsafe-eval|unsafe-hashes|strict-dynamic|report-sample|wasm-unsafe-eval|nonce-.*|sha(?:256|384|512)-.*)$/i;

const nonceSource = "'nonce-$nonce'";

interface Directive {
  readonly name: string;
  readonly values: readonly string[];
}

const split = (text: string): Directive[] =>
  text
    .split(";")
    .map((part) => part.trim().split(/ +/))
    .filter(([name]) => name !== "")
    .map(([name = "", ...values]) => ({ name: name.toLowerCase(), values }));

function valueProblem({ name, values }: Directive): string | undefined {
  // The values of these two directives are not lists of sources.
  if (name === "sandbox" || name === "trusted-types") return undefined;
  for (const value of values) {
    if (value === nonceSource) {
      if (/^(?:default|script|style)-src/.test(name)) continue;
      return `${nonceSource} means nothing in ${name}: it is for scripts and styles`;
    }
    if (value.includes("$nonce")) return `write ${nonceSource}, in quotes`;
    if (/^'nonce-/i.test(value)) return `${value} would be the same for everybody: write ${nonceSource}`;
    if (keywords.test(value) && name.endsWith("-src")) return `${value} is a host here: write '${value}'`;
  }
  // CSP 3 section 6.7.2.3: 'none' is ignored beside another source.
  if (values.includes("'none'") && values.length > 1)
    return `'none' beside other sources means nothing in ${name}`;
  return undefined;
}

/** @returns what is wrong, where a browser would say nothing and protect less; undefined = nothing */
export function cspProblem(text: string): string | undefined {
  if (!/^[\x20-\x2b\x2d-\x7e]{1,4096}$/.test(text)) {
    return "must be 1 to 4096 printable ASCII characters without a comma, which would begin another policy";
  }
  const seen = new Set<string>();
  for (const directive of split(text)) {
    const { name } = directive;
    if (!directives.has(name)) return `has the unknown directive ${name}`;
    // CSP 3 section 2.2.1: the second of two equal directives is ignored.
    if (seen.has(name)) return `has ${name} twice: the second would be ignored`;
    seen.add(name);
    const problem = valueProblem(directive);
    if (problem !== undefined) return problem;
  }
  return seen.size === 0 ? "has no directive" : undefined;
}

export interface NonceCsp {
  /** For answers that are not pages: without a nonce. */
  readonly plain: string;
  readonly withNonce: (nonce: string) => string;
}

/** @param text a value without problems (`cspProblem`) that contains a nonce */
export function compileNonce(text: string): NonceCsp {
  const plain = split(text)
    .map(({ name, values }) => {
      const others = values.filter((value) => value !== nonceSource);
      return [name, ...(others.length === 0 && values.length > 0 ? ["'none'"] : others)].join(" ");
    })
    .join("; ");
  const parts = text.split("$nonce");
  return { plain, withNonce: (nonce) => parts.join(nonce) };
}
