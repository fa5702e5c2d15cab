// What the compilers of an OpenAPI document's parts need: a part with its place, and how to follow references.
import type { Json } from "../prepare.ts";
import type { Schemas } from "../schemas.ts";

/** A part of the document and its place. */
export interface Part {
  readonly value: Json;
  readonly pointer: string;
}

export interface Parts {
  readonly schemas: Schemas;
  /** Follows references; the pointer of the result is that of their target. @throws Error that names the place */
  deref(written: unknown, pointer: string): Part;
}
