// Converts a policy file for Redis, which holds JSON: JSON and signed documents stay as they are, YAML becomes JSON.
import { Lexer } from "yaml";
import { readJson } from "../policy/document/json.ts";
import type { PolicyFormat } from "../policy/document/parse.ts";
import type { PositionedDocument } from "../policy/document/positioned-builder.ts";
import type { Path } from "../policy/document/problems.ts";
import { readYaml } from "../policy/document/yaml.ts";

export interface Candidate {
  readonly bytes: Buffer;
  /** Whether the document has comments, which JSON cannot hold. */
  readonly losesComments: boolean;
}

/** @param bytes a policy that was found valid. Throws PolicyRefused for others. */
export function candidateOf(bytes: Uint8Array, format: PolicyFormat): Candidate {
  const text = new TextDecoder().decode(bytes);
  if (format === "json" || isJson(text) || isSigned(text)) {
    return { bytes: Buffer.from(isSigned(text) ? text.trim() : bytes), losesComments: false };
  }
  const json = JSON.stringify(readYaml(text).value, null, 2);
  return { bytes: Buffer.from(json), losesComments: hasComments(text) };
}

/** @returns the document in a text from Redis or a file, signed or not; undefined = it cannot be read */
export function documentIn(bytes: Uint8Array, format: PolicyFormat = "any"): unknown {
  const reading = readingOf(bytes, format);
  return reading?.problems.length === 0 ? reading.value : undefined;
}

/** @returns the line and column of a field of the document */
export function placeIn(
  bytes: Uint8Array,
  format: PolicyFormat,
  path: Path,
): ReturnType<PositionedDocument["locate"]> {
  return readingOf(bytes, format)?.locate(path) ?? {};
}

function readingOf(bytes: Uint8Array, format: PolicyFormat): PositionedDocument | undefined {
  let text = new TextDecoder().decode(bytes);
  if (isSigned(text)) text = Buffer.from(text.trim().split(".")[1] as string, "base64url").toString();
  try {
    return format !== "yaml" && isJson(text) ? readJson(text) : readYaml(text);
  } catch {
    return undefined;
  }
}

const isJson = (text: string): boolean => text.trimStart().startsWith("{");
const isSigned = (text: string): boolean => /^[\w-]+\.[\w-]+\.[\w-]+$/.test(text.trim());

/** Whether a YAML text has comments. The lexer emits U+001F before every scalar, whose text may begin with `#`. */
function hasComments(text: string): boolean {
  let before = "";
  for (const lexeme of new Lexer().lex(text)) {
    if (lexeme.startsWith("#") && before !== "\u001f") return true;
    before = lexeme;
  }
  return false;
}
