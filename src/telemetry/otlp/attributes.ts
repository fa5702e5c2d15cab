// Encodes what all OTLP signals share: attributes, and the resource that sends (common.proto, resource.proto).
import { ProtoWriter } from "./wire.ts";

/** Alternating: key, value, key, value … */
export type Attributes = readonly (string | number | boolean)[];

/** The sender of the data. */
export interface OtlpResource {
  readonly attributes: Attributes;
  readonly scopeName: string;
  readonly scopeVersion: string;
}

const scope = { name: 1, version: 2 };
const keyValue = { key: 1, value: 2 };
const anyValue = { string: 1, bool: 2, int: 3, double: 4 };
/** Field numbers that are the same for every signal: resource within the request, scope within the resource. */
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

/** Wraps encoded items in the sender's resource and scope, in protobuf. */
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

  /** @param items encoded as fields of their scope, with tags */
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

/** The same in JSON. @param signal in field names: `Spans`, `Metrics`, `Logs` @param items name of the items' field */
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

/** Nanoseconds since the epoch as decimal text: a double could not hold them exactly. */
export function nanosText(epochMs: number, offsetMs: number): string {
  const offsetNs = Math.round(offsetMs * 1e6);
  const ms = epochMs + Math.floor(offsetNs / 1e6);
  return `${ms}${String(offsetNs - Math.floor(offsetNs / 1e6) * 1e6).padStart(6, "0")}`;
}
