// What a command needs from the process.
import type { Environment } from "../config/config.ts";

export interface Terminal {
  readonly env: Environment;
  /** Whether somebody looks at stdout: colours, redrawing. */
  readonly outIsTty?: boolean;
  /** Whether somebody looks at stderr: progress. */
  readonly errIsTty?: boolean;
  /** Of stdout, where it is a terminal. */
  readonly columns?: number | undefined;
  out(text: string): void;
  err(text: string): void;
}
