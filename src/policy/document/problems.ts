// Problems with a policy: each has the path of its field and, where known, the field's place in the text. Names from
// the document are quoted short and escaped; values are never quoted.
import { textOf } from "../../plugin-api/error-text.ts";
import { nearestName } from "../../language/nearest.ts";

export interface Problem {
  /** `routes[2].pluginConfig.cache.ttlSeconds`; "" = the document as a whole. */
  readonly path: string;
  readonly message: string;
  /** The document at fault: its Redis key (without the prefix while it is read), or its file. */
  readonly document?: string;
  /** From 1. */
  readonly line?: number;
  readonly column?: number;
}

export type Path = readonly PropertyKey[];

/** More than anybody mends in one go. The limit keeps the status, the heartbeat and the log small. */
export const maxProblems = 100;

/** A policy that is not taken. `problems` holds at least one. */
export class PolicyRefused extends Error {
  override readonly name = "PolicyRefused";
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(problems.slice(0, 3).map(problemText).join("; "));
    // When only one problem is too many, a line that says so would be no shorter than the problem.
    const more = problems.length - maxProblems;
    this.problems =
      more > 1
        ? [...problems.slice(0, maxProblems), { path: "", message: `and ${more} more problems` }]
        : problems;
  }
}

/** A policy that was not read to the end. */
export class ReadingCutShort extends PolicyRefused {
  constructor(why: string | readonly Problem[], place: Omit<Problem, "message"> = { path: "" }) {
    super(typeof why === "string" ? [{ ...place, message: why }] : why);
  }
}

/** Whether the document itself was at fault. Its flaws last until it changes; a failure to read it may pass. */
export function isOfTheDocument(error: unknown): boolean {
  return error instanceof PolicyRefused && !(error instanceof ReadingCutShort);
}

/** One line for people: `outrigger:policy, line 1, column 30: plugins: listed twice`. */
export function problemText({ document, path, message, line, column }: Problem): string {
  const place = line === undefined ? [] : [`line ${line}, column ${column ?? 1}`];
  const where = [...(document === undefined ? [] : [document]), ...place].join(", ");
  return [where, path, message].filter((part) => part !== "").join(": ");
}

/** @returns a name from the document, shortened and escaped for a message or a log line */
export function quoted(name: string): string {
  return JSON.stringify(name.length > 64 ? `${name.slice(0, 63)}…` : name);
}

export function pathText(path: Path): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else if (!/^[A-Za-z_$][\w$-]{0,63}$/.test(String(part))) text += `[${quoted(String(part))}]`;
    else text += text === "" ? String(part) : `.${String(part)}`;
  }
  return text;
}

/** @returns `what "name"`, with the known name that was probably meant */
export function unknownName(what: string, name: string, known: Iterable<string>): string {
  // A name that is known elsewhere, but not allowed here, is no hint.
  const nearest = nearestName(
    name,
    [...known].filter((other) => other !== name),
  );
  return `${what} ${quoted(name)}${nearest === undefined ? "" : `, did you mean ${quoted(nearest)}?`}`;
}

/** @returns the problems of any error that made an attempt fail */
export function problemsOf(error: unknown): readonly Problem[] {
  if (error instanceof PolicyRefused) return error.problems;
  return [{ path: "", message: textOf(error) }];
}
