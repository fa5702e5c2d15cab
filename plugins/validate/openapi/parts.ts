// Parts of an OpenAPI document, for whatever compiles them.
import type { Json } from "../prepare.ts";
import type { Schemas } from "../schemas.ts";

/** A part of the document, with where it is. */
export interface Part {
  readonly value: Json;
  readonly pointer: string;
}

export interface Parts {
  readonly schemas: Schemas;
  /** Follows references, whose path is then that of what they lead to. @throws Error that names the place */
  deref(written: unknown, pointer: string): Part;
}
