// What is wrong with a policy: each problem with the path of the field it is about, and where that field stands in
// the text when that is known. Texts of the document are quoted short and escaped; values are never quoted.
import { textOf } from "../../plugin-api/error-text.ts";
import { nearestName } from "../../language/nearest.ts";

export interface Problem {
  /** `routes[2].pluginConfig.cache.ttlSeconds`; "" = the document as a whole. */
  readonly path: string;
  readonly message: string;
  /** The document at fault: its Redis key (while it is read: without prefix), or its file. */
  readonly document?: string;
  /** From 1. */
  readonly line?: number;
  readonly column?: number;
}

export type Path = readonly PropertyKey[];

/** More than anybody mends in one go; the status, the heartbeat and the log stay small. */
export const maxProblems = 100;

/** A policy that is not taken. `problems` holds at least one. */
export class PolicyRefused extends Error {
  override readonly name = "PolicyRefused";
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(problems.slice(0, 3).map(problemText).join("; "));
    // One more than fits is as long as the line that would tell of it.
    const more = problems.length - maxProblems;
    this.problems =
      more > 1
        ? [...problems.slice(0, maxProblems), { path: "", message: `and ${more} more problems` }]
        : problems;
  }
}

/** A policy whose reading was given up. */
export class ReadingCutShort extends PolicyRefused {
  constructor(why: string | readonly Problem[], place: Omit<Problem, "message"> = { path: "" }) {
    super(typeof why === "string" ? [{ ...place, message: why }] : why);
  }
}

/** Whether a document itself was at fault, which stays so until it changes; what kept it from being read may pass. */
export function isOfTheDocument(error: unknown): boolean {
  return error instanceof PolicyRefused && !(error instanceof ReadingCutShort);
}

/** One line for people: `outrigger:policy, line 1, column 30: plugins: listed twice`. */
export function problemText({ document, path, message, line, column }: Problem): string {
  const place = line === undefined ? [] : [`line ${line}, column ${column ?? 1}`];
  const where = [...(document === undefined ? [] : [document]), ...place].join(", ");
  return [where, path, message].filter((part) => part !== "").join(": ");
}

/** A name of the document as it may stand in a message or a log line. */
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

/** `what "name"`, with the known name that was probably meant. */
export function unknownName(what: string, name: string, known: Iterable<string>): string {
  // One that stands elsewhere, and not here, is no hint.
  const nearest = nearestName(
    name,
    [...known].filter((other) => other !== name),
  );
  return `${what} ${quoted(name)}${nearest === undefined ? "" : `, did you mean ${quoted(nearest)}?`}`;
}

/** What made an attempt fail, whatever it was. */
export function problemsOf(error: unknown): readonly Problem[] {
  if (error instanceof PolicyRefused) return error.problems;
  return [{ path: "", message: textOf(error) }];
}
