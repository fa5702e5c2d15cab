// Implements the part of Go's templates and of Helm's functions that this project's chart uses, for machines without
// Helm. Everything it does not know is an error, never ignored: so a chart that it renders uses nothing else.
import { stringify } from "yaml";

type Value = unknown;
type Node =
  | { readonly is: "text"; readonly text: string }
  | { readonly is: "print"; readonly pipe: Pipe }
  | { readonly is: "assign"; readonly name: string; readonly pipe: Pipe }
  | { readonly is: "define"; readonly name: string; readonly body: readonly Node[] }
  | {
      readonly is: "if" | "with";
      readonly pipe: Pipe;
      readonly body: readonly Node[];
      readonly others: readonly Node[];
    };
type Pipe = readonly (readonly Operand[])[];
type Operand =
  | { readonly is: "value"; readonly value: Value }
  | { readonly is: "path"; readonly root: string; readonly names: readonly string[] }
  | { readonly is: "function"; readonly name: string }
  | { readonly is: "pipe"; readonly pipe: Pipe };

interface Scope {
  readonly dot: Value;
  readonly variables: Map<string, Value>;
}

/** Splits a template into texts and actions, in order, and trims white space as `{{-` and `-}}` demand. */
function split(source: string): { readonly text: string; readonly action: string | undefined }[] {
  const parts: { text: string; action: string | undefined }[] = [];
  let at = 0;
  let trims = false;
  for (;;) {
    const start = source.indexOf("{{", at);
    let text = source.slice(at, start === -1 ? undefined : start);
    if (trims) text = text.trimStart();
    if (start === -1) return [...parts, { text, action: undefined }];
    const isTrimmed = source.startsWith("{{- ", start);
    const from = start + (isTrimmed ? 3 : 2);
    const isComment = source.slice(from).trimStart().startsWith("/*");
    const end = source.indexOf("}}", isComment ? source.indexOf("*/", from) : from);
    if (end === -1) throw new Error(`an action does not end: ${source.slice(start, start + 60)}`);
    trims = source.slice(from, end).endsWith(" -");
    const action = source.slice(from, trims ? end - 1 : end).trim();
    parts.push({ text: isTrimmed ? text.trimEnd() : text, action: isComment ? "" : action });
    at = end + 2;
  }
}

const tokens = /"(?:[^"\\]|\\.)*"|[()|]|:=|[^\s()|"]+/g;

function parsePipe(words: string[]): Pipe {
  const commands: Operand[][] = [[]];
  while (words.length > 0 && words[0] !== ")") {
    const word = words.shift() as string;
    if (word === "|") commands.push([]);
    else commands.at(-1)?.push(operandOf(word, words));
  }
  return commands;
}

function operandOf(word: string, words: string[]): Operand {
  if (word === "(") {
    const pipe = parsePipe(words);
    if (words.shift() !== ")") throw new Error("a bracket does not end");
    return { is: "pipe", pipe };
  }
  if (word.startsWith('"')) return { is: "value", value: JSON.parse(word) as string };
  if (/^\d+$/.test(word)) return { is: "value", value: Number(word) };
  const path = /^(\$\w*)?((?:\.\w+)*|\.)$/.exec(word);
  if (path?.[0] !== undefined && word !== "") {
    return {
      is: "path",
      root: path[1] ?? ".",
      names: (path[2] ?? "").split(".").filter((name) => name !== ""),
    };
  }
  if (Object.hasOwn(functions, word)) return { is: "function", name: word };
  throw new Error(`unknown: ${word}`);
}

function parse(source: string): Node[] {
  const parts = split(source);
  const block = (ends: readonly string[]): { body: Node[]; end: string } => {
    const body: Node[] = [];
    for (let part = parts.shift(); part !== undefined; part = parts.shift()) {
      if (part.text !== "") body.push({ is: "text", text: part.text });
      const { action } = part;
      if (action === undefined) break;
      if (action === "") continue;
      const words = action.match(tokens) ?? [];
      const [first = "", second = ""] = words;
      if (first === "end" || first === "else") {
        if (ends.includes(first) && words.length === 1) return { body, end: first };
        throw new Error(`{{ ${action} }} ends nothing`);
      }
      body.push(nodeOf(first, second, words, block));
    }
    if (ends.length > 0) throw new Error("a block does not end");
    return { body, end: "" };
  };
  return block([]).body;
}

function nodeOf(
  first: string,
  second: string,
  words: string[],
  block: (ends: readonly string[]) => { body: Node[]; end: string },
): Node {
  if (first === "define")
    return { is: "define", name: JSON.parse(second) as string, body: block(["end"]).body };
  if (first === "if" || first === "with") {
    const pipe = whole(words.slice(1));
    const { body, end } = block(["end", "else"]);
    return { is: first, pipe, body, others: end === "else" ? block(["end"]).body : [] };
  }
  if (second === ":=") return { is: "assign", name: first, pipe: whole(words.slice(2)) };
  return { is: "print", pipe: whole(words) };
}

function whole(words: string[]): Pipe {
  const pipe = parsePipe(words);
  if (words.length > 0 || pipe.some((command) => command.length === 0)) throw new Error("a pipe is broken");
  return pipe;
}

const isTrue = (value: Value): boolean =>
  !(value === undefined || value === "" || value === 0 || value === false) &&
  !(typeof value === "object" && (value === null || Object.keys(value).length === 0));
const text = (value: Value): string => {
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean")
    return String(value);
  throw new Error(`is no text: ${JSON.stringify(value)}`);
};
const indented = (count: Value, lines: Value): string =>
  text(lines).replaceAll(/^/gm, " ".repeat(Number(count)));

type Function = (this: Templates, ...values: Value[]) => Value;
const functions: Readonly<Record<string, Function>> = {
  and: (...values) => values.find((value) => !isTrue(value)) ?? values.at(-1),
  default: (fallback, value) => (isTrue(value) ? value : fallback),
  dict: (...pairs) =>
    Object.fromEntries(pairs.flatMap((name, at) => (at % 2 === 0 ? [[text(name), pairs[at + 1]]] : []))),
  eq: (one, other) => one === other,
  include(name, dot) {
    return this.run(text(name), dot);
  },
  join: (between, list) => (list as Value[]).map(text).join(text(between)),
  ne: (one, other) => one !== other,
  nindent: (count, lines) => `\n${indented(count, lines)}`,
  not: (value) => !isTrue(value),
  or: (...values) => values.find(isTrue) ?? values.at(-1),
  printf(format, ...values) {
    return text(format).replaceAll(/%[sv]/g, () => text(values.shift()));
  },
  quote: (value) => JSON.stringify(text(value)),
  required(message, value) {
    if (value === undefined || value === "") throw new Error(text(message));
    return value;
  },
  toYaml: (value) => stringify(value, { lineWidth: 0 }).trimEnd(),
};

/** Templates of a chart, by the names that they are defined under. */
export class Templates {
  readonly #defined = new Map<string, readonly Node[]>();
  readonly #files: readonly (readonly Node[])[];

  /** @throws Error for text that is no template, or that uses unsupported features */
  constructor(sources: readonly string[]) {
    this.#files = sources.map(parse);
    for (const node of this.#files.flat()) if (node.is === "define") this.#defined.set(node.name, node.body);
  }

  /** Renders all files, in order. */
  render(dot: Value): string[] {
    return this.#files.map((nodes) => this.#render(nodes, { dot, variables: new Map([["$", dot]]) }));
  }

  run(name: string, dot: Value): string {
    const body = this.#defined.get(name);
    if (body === undefined) throw new Error(`no template is called ${name}`);
    return this.#render(body, { dot, variables: new Map([["$", dot]]) });
  }

  #render(nodes: readonly Node[], scope: Scope): string {
    return nodes.map((node) => this.#renderOne(node, scope)).join("");
  }

  #renderOne(node: Node, scope: Scope): string {
    if (node.is === "text") return node.text;
    if (node.is === "define") return "";
    const value = this.#evaluate(node.pipe, scope);
    if (node.is === "print") return text(value);
    if (node.is === "assign") {
      scope.variables.set(node.name, value);
      return "";
    }
    const inner = { dot: node.is === "with" ? value : scope.dot, variables: new Map(scope.variables) };
    return isTrue(value) ? this.#render(node.body, inner) : this.#render(node.others, scope);
  }

  #evaluate(pipe: Pipe, scope: Scope): Value {
    let piped: Value[] = [];
    for (const [first, ...others] of pipe) {
      const values = others.map((each) => this.#valueOf(each, scope));
      if (first?.is === "function") piped = [functions[first.name]?.call(this, ...values, ...piped)];
      else if (first === undefined || values.length + piped.length > 0)
        throw new Error("what is called is no function");
      else piped = [this.#valueOf(first, scope)];
    }
    return piped[0];
  }

  #valueOf(operand: Operand, scope: Scope): Value {
    if (operand.is === "value") return operand.value;
    if (operand.is === "pipe") return this.#evaluate(operand.pipe, scope);
    if (operand.is === "function") return functions[operand.name]?.call(this);
    let value = operand.root === "." ? scope.dot : scope.variables.get(operand.root);
    for (const name of operand.names) {
      if (typeof value !== "object" || value === null)
        throw new Error(`${operand.names.join(".")}: ${name} of nothing`);
      value = Object.hasOwn(value, name) ? (Reflect.get(value, name) as Value) : undefined;
    }
    return value;
  }
}
