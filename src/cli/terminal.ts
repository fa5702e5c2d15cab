// What a command needs from the process.
import type { Environment } from "../config.ts";

export interface Terminal {
  readonly env: Environment;
  out(text: string): void;
  err(text: string): void;
}
