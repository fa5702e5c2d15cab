// Routes that are found by something else than a request's path.
import type { RequestHead } from "../http1/request-head.ts";

export interface Finding {
  /** @returns the path of the route */
  pathOf(head: RequestHead): string;
  /** What is said where there is none. */
  readonly notFound: string;
}
