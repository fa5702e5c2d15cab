// The interface for finding routes by something else than a request's path.
import type { RequestHead } from "../http1/request-head.ts";

export interface Finding {
  /** @returns the path by which the route is found */
  pathOf(head: RequestHead): string;
  /** The error detail if there is no route. */
  readonly notFound: string;
}
