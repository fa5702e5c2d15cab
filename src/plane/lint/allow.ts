// Drops findings that the document allows, and reports allowances that no rule knows or that allow nothing.
import { nearestName } from "../../language/nearest.ts";
import { quoted } from "../../policy/document/problems.ts";
import type { SourceDocument } from "../../policy/document/written.ts";
import type { Raised } from "./finding.ts";

/** Codes of findings about allowances; no allowance can silence them. */
export const allowanceCodes: Readonly<Record<string, string>> = {
  "unknown-allowance": "`lint.allow` names a code that no rule has",
  "unused-allowance": "`lint.allow` allows what is not found",
};

/** @param known every code of a rule. @returns the findings that remain for this document */
export function withoutAllowed(
  raised: readonly Raised[],
  document: SourceDocument,
  known: ReadonlySet<string>,
): Raised[] {
  const allowances = document.document.lint?.allow ?? [];
  const used = new Set<number>();
  const left = raised.filter(({ code, route }) => {
    const fitting = [...allowances.entries()].filter(
      ([, allowance]) => allowance.code === code && (allowance.route ?? route?.path) === route?.path,
    );
    for (const [index] of fitting) used.add(index);
    return fitting.length === 0;
  });
  for (const [index, { code, route }] of allowances.entries()) {
    if (used.has(index)) continue;
    const path = ["lint", "allow", index];
    if (known.has(code)) {
      const where = route === undefined ? "" : ` on a route ${quoted(route)}`;
      const message = `${quoted(code)} is not found${where}`;
      left.push({ code: "unused-allowance", place: { document, path }, message, advice: "take it out" });
    } else {
      const nearest = nearestName(code, known);
      left.push({
        code: "unknown-allowance",
        place: { document, path: [...path, "code"] },
        message: `no rule has the code ${quoted(code)}`,
        advice: nearest === undefined ? "take it out" : `write ${quoted(nearest)}`,
      });
    }
  }
  return left;
}
