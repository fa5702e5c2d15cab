// Reads YAML 1.2 (core schema) as people write it by hand. There are no custom tags, and names are strings. Aliases are
// followed, but never in a circle and never to more than a bounded number of nodes.
import {
  type Alias,
  type CST,
  Composer as DocumentComposer,
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  Lexer,
  Parser,
} from "yaml";
import { deepestNesting } from "../../language/json.ts";
import { PositionedBuilder, type PositionedDocument } from "./positioned-builder.ts";
import { PolicyRefused } from "./problems.ts";

/** Most nodes that aliases may expand to ("billion laughs"). */
const maxAliasNodes = 10_000;

/** Throws PolicyRefused when the text is not YAML. */
export function readYaml(text: string): PositionedDocument {
  const builder = new PositionedBuilder(text);
  const document = parseDocument(text, builder);
  for (const { message, pos } of [...document.errors, ...document.warnings]) {
    builder.addIssue(`is not YAML: ${message}`, pos[0]);
  }
  if (builder.problems.length > 0) throw new PolicyRefused(builder.problems);
  builder.value = new YamlReader(builder).read(document.contents);
  return builder;
}

/** Does what the library's own `parseDocument` does, but bounds the depth of the tokens. */
function parseDocument(text: string, builder: PositionedBuilder): Document {
  // uniqueKeys compares every pair of a map's names (yaml 2.9); PositionedBuilder finds repeated ones in one pass.
  const documents = new DocumentComposer({ uniqueKeys: false, prettyErrors: false, merge: false });
  const [first, second] = documents.compose(boundedTokens(text, builder), true, text.length);
  if (second !== undefined) builder.fail("is not YAML of one document: there are several", second.range[0]);
  return first as Document;
}

/** Levels of the parser's stack for the document and its start, beside those of the collections. */
const stackBase = 3;

/**
 * A collection's token holds those within it, and the library recurses over them: a text full of brackets would
 * overflow the stack.
 */
/**
 * YAML costs the library up to 12 µs a lexeme and ten times the text's size in memory. Programs write longer documents,
 * as JSON.
 */
const maxLexemes = 150_000;

function* boundedTokens(text: string, builder: PositionedBuilder): Generator<CST.Token, void> {
  const parser = new Parser();
  let lexemes = 0;
  for (const lexeme of new Lexer().lex(text)) {
    lexemes += 1;
    if (lexemes > maxLexemes)
      builder.fail("is too much for YAML from here on: write it as JSON", parser.offset);
    yield* parser.next(lexeme);
    if (parser.stack.length > deepestNesting + stackBase)
      builder.fail(`nested deeper than ${deepestNesting} levels`, parser.offset);
  }
  yield* parser.end();
}

class YamlReader {
  readonly #builder: PositionedBuilder;
  // An alias refers to the latest anchor before it. The library's own `resolve` walks the whole document each time.
  readonly #anchors = new Map<string, unknown>();
  readonly #following = new Set<unknown>();
  #aliasNodes = 0;

  constructor(builder: PositionedBuilder) {
    this.#builder = builder;
  }

  read(node: unknown): unknown {
    if (this.#following.size > 0) this.#aliasNodes += 1;
    else if (isNode(node) && !isAlias(node) && node.anchor !== undefined)
      this.#anchors.set(node.anchor, node);
    if (this.#aliasNodes > maxAliasNodes) this.#builder.fail("aliases add up to too much", offsetOf(node));
    if (isAlias(node)) return this.#follow(node);
    if (isMap(node)) return this.#map(node.items);
    if (isSeq(node)) return this.#sequence(node.items);
    return isScalar(node) ? node.value : null;
  }

  #follow(alias: Alias): unknown {
    const target = this.#anchors.get(alias.source);
    if (target === undefined) return this.#builder.fail("alias of nothing", offsetOf(alias));
    if (this.#following.has(target)) return this.#builder.fail("alias of itself", offsetOf(alias));
    this.#following.add(target);
    const value = this.read(target);
    this.#following.delete(target);
    return value;
  }

  #map(items: readonly { key: unknown; value: unknown }[]): object {
    const object = {};
    const merges: unknown[] = [];
    for (const { key, value } of items) {
      const name = isScalar(key) ? key.value : undefined;
      if (name === "<<" && isScalar(key) && key.type === "PLAIN") {
        if (merges.length > 0) this.#builder.addIssue("<< is given twice: give it a list", offsetOf(key));
        merges.push(value);
      } else if (typeof name === "string") {
        this.#builder.member(object, name, offsetOf(key), () => this.read(value));
      } else this.#builder.addIssue("a name must be a string", offsetOf(key));
    }
    // Merges come last: a map's own members win whatever their order. Of several merges, the first wins.
    for (const merge of merges) this.#merge(object, merge);
    return object;
  }

  /**
   * Applies a merge key (`<<`): a map, or a list of maps. YAML 1.2 dropped it from YAML 1.1, but people still write it.
   */
  #merge(object: object, node: unknown): void {
    const value = this.read(node);
    for (const source of Array.isArray(value) ? (value as unknown[]) : [value]) {
      if (typeof source !== "object" || source === null || Array.isArray(source)) {
        this.#builder.addIssue("<< takes a map or a list of maps", offsetOf(node));
        continue;
      }
      for (const [name, member] of Object.entries(source)) {
        if (!Object.hasOwn(object, name))
          this.#builder.member(object, name, offsetOf(node), () => member as unknown);
      }
    }
  }

  #sequence(items: readonly unknown[]): unknown[] {
    const array: unknown[] = [];
    for (const item of items) {
      this.#builder.member(array, array.length, offsetOf(item), () => this.read(item));
    }
    return array;
  }
}

function offsetOf(node: unknown): number {
  return (node as { range?: [number, number, number] | null } | null)?.range?.[0] ?? 0;
}
