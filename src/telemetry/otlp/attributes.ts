// What all signals of the OpenTelemetry protocol have in common: attributes, and who sends (common.proto, resource.proto).
import { ProtoWriter } from "./wire.ts";

/** key, value, key, value … */
export type Attributes = readonly (string | number | boolean)[];

/** Who sends. */
export interface OtlpResource {
  readonly attributes: Attributes;
  readonly scopeName: string;
  readonly scopeVersion: string;
}

const scope = { name: 1, version: 2 };
const keyValue = { key: 1, value: 2 };
const anyValue = { string: 1, bool: 2, int: 3, double: 4 };
/** Of a request of any signal: what one resource sends, and of that what one scope does. */
const nesting = { ofResource: 1, resource: 1, ofScope: 2, scope: 1 };

export function writeAttributes(writer: ProtoWriter, field: number, attributes: Attributes): void {
  for (let i = 0; i < attributes.length; i += 2) {
    const start = writer.begin(field);
    writer.string(keyValue.key, attributes[i] as string);
    const value = attributes[i + 1];
    const inner = writer.begin(keyValue.value);
    if (typeof value === "string") writer.string(anyValue.string, value);
    else if (typeof value === "boolean") writer.varint(anyValue.bool, value ? 1 : 0);
    else if (Number.isSafeInteger(value) && (value as number) >= 0)
      writer.varint(anyValue.int, value as number);
    else writer.double(anyValue.double, value as number);
    writer.end(inner);
    writer.end(start);
  }
}

/** Puts what one resource sends around its items, in protobuf. */
export class ProtobufEnvelope {
  readonly #resource: Buffer;
  readonly #scope: Buffer;

  constructor({ attributes, scopeName, scopeVersion }: OtlpResource) {
    const writer = new ProtoWriter(1_024);
    writeAttributes(writer, 1, attributes);
    this.#resource = writer.take();
    writer.string(scope.name, scopeName);
    writer.string(scope.version, scopeVersion);
    this.#scope = writer.take();
  }

  /** @param items as they stand in their scope, their tags included */
  around(items: Buffer): Buffer {
    const writer = new ProtoWriter(this.#resource.length + this.#scope.length + items.length + 64);
    const outer = writer.begin(nesting.ofResource);
    writer.bytes(nesting.resource, this.#resource);
    const inner = writer.begin(nesting.ofScope);
    writer.bytes(nesting.scope, this.#scope);
    writer.raw(items);
    writer.end(inner);
    writer.end(outer);
    return writer.take();
  }
}

/** Likewise in JSON. @param signal as its fields are named: `Spans`, `Metrics`, `Logs` @param items the field of them */
export class JsonEnvelope {
  readonly #head: string;

  constructor({ attributes, scopeName, scopeVersion }: OtlpResource, signal: string, items: string) {
    const resource = JSON.stringify({ attributes: keyValues(attributes) });
    const named = JSON.stringify({ name: scopeName, version: scopeVersion });
    this.#head = `{"resource${signal}":[{"resource":${resource},"scope${signal}":[{"scope":${named},"${items}":[`;
  }

  around(items: readonly string[]): Buffer {
    return Buffer.from(`${this.#head}${items.join(",")}]}]}]}`);
  }
}

export function keyValues(attributes: Attributes): unknown[] {
  const list: unknown[] = [];
  for (let i = 0; i < attributes.length; i += 2)
    list.push({ key: attributes[i], value: jsonValue(attributes[i + 1]) });
  return list;
}

function jsonValue(value: Attributes[number] | undefined): Record<string, unknown> {
  if (typeof value === "boolean") return { boolValue: value };
  if (typeof value === "number")
    return Number.isSafeInteger(value) ? { intValue: String(value) } : { doubleValue: value };
  return { stringValue: value };
}

/** Nanoseconds since the epoch as digits: a double would not hold them. */
export function nanosText(epochMs: number, offsetMs: number): string {
  const offsetNs = Math.round(offsetMs * 1e6);
  const ms = epochMs + Math.floor(offsetNs / 1e6);
  return `${ms}${String(offsetNs - Math.floor(offsetNs / 1e6) * 1e6).padStart(6, "0")}`;
}
