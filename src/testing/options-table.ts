// Makes a table of a plugin's options from their schema. Tests compare READMEs with it.
import { z } from "zod";

/** The part of JSON Schema that zod writes. */
interface Node {
  type?: string | readonly string[];
  description?: string;
  default?: unknown;
  enum?: readonly unknown[];
  const?: unknown;
  anyOf?: readonly Node[];
  oneOf?: readonly Node[];
  allOf?: readonly Node[];
  properties?: Record<string, Node>;
  required?: readonly string[];
  additionalProperties?: boolean | Node;
  items?: Node;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
}

export interface OptionRow {
  /** `jwt.issuers[].issuer`, `plans.*[].limit` */
  readonly path: string;
  readonly type: string;
  readonly default: string;
  readonly description: string;
}

export interface OptionsOutline {
  readonly rows: readonly OptionRow[];
  /** Paths of objects that accept unknown names; must be empty. */
  readonly lax: readonly string[];
}

/** Lists every option at every depth. */
export function outlineOptions(schema: z.ZodType): OptionsOutline {
  const root = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as Node;
  const rows: OptionRow[] = [];
  const lax: string[] = [];
  const visit = (node: Node, path: string): void => {
    for (const branch of branches(node)) visit(branch, path);
    if (node.items !== undefined) visit(node.items, `${path}[]`);
    if (typeof node.additionalProperties === "object") visit(node.additionalProperties, `${path}.*`);
    if (node.properties === undefined) return;
    if (node.additionalProperties !== false) lax.push(path);
    for (const [name, child] of Object.entries(node.properties)) {
      const childPath = path === "" ? name : `${path}.${name}`;
      const required = node.required?.includes(name) === true;
      const row = {
        path: childPath,
        type: typeText(child),
        default: defaultText(child, required),
        description: child.description ?? "",
      };
      // The branches of a union share options: list each once.
      if (!rows.some((other) => JSON.stringify(other) === JSON.stringify(row))) rows.push(row);
      visit(child, childPath);
    }
  };
  visit(root, "");
  return { rows, lax };
}

const cell = (text: string): string => text.replaceAll("|", "\\|");

/** Makes the table for the section "Options" of a plugin's README. */
export function optionsTable(schema: z.ZodType): string {
  const lines = outlineOptions(schema).rows.map(
    (row) => `| \`${row.path}\` | ${cell(row.type)} | ${cell(row.default)} | ${cell(row.description)} |`,
  );
  return ["| option | type | default | meaning |", "| --- | --- | --- | --- |", ...lines].join("\n");
}

function branches(node: Node): readonly Node[] {
  return [...(node.anyOf ?? []), ...(node.oneOf ?? []), ...(node.allOf ?? [])];
}

function typeText(node: Node): string {
  if (node.const !== undefined) return `\`${JSON.stringify(node.const)}\``;
  if (node.enum !== undefined) return node.enum.map((value) => `\`${JSON.stringify(value)}\``).join(" or ");
  const alternatives = branches(node);
  if (alternatives.length > 0) return [...new Set(alternatives.map(typeText))].join(" or ");
  if (node.type === "array") return `list of ${typeText(node.items ?? {})}`;
  if (typeof node.additionalProperties === "object" && node.properties === undefined) {
    return `map of ${typeText(node.additionalProperties)}`;
  }
  return `${[node.type ?? "any"].flat().join(" or ")}${rangeText(node)}`;
}

function rangeText({ minimum, maximum, exclusiveMinimum }: Node): string {
  const lowest = minimum === Number.MIN_SAFE_INTEGER ? undefined : minimum;
  const highest = maximum === Number.MAX_SAFE_INTEGER ? undefined : maximum;
  const above = exclusiveMinimum === undefined ? "" : ` above ${exclusiveMinimum}`;
  if (lowest !== undefined && highest !== undefined) return ` ${lowest} to ${highest}`;
  if (highest !== undefined) return `${above} up to ${highest}`;
  return lowest === undefined ? above : ` from ${lowest}`;
}

function defaultText(node: Node, required: boolean): string {
  if (node.default !== undefined) return `\`${JSON.stringify(node.default)}\``;
  return required ? "required" : "none";
}
