// The sidecar as the image starts it, from a bundle made for this run.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { entrypointIn } from "../support/dockerfile.ts";
import { folder } from "./processes.ts";

/** @returns the command's line, but for its environment */
export function bundledCommand(): string {
  const place = join(folder, "app");
  execFileSync(process.execPath, [join(import.meta.dirname, "../../deploy/bundle.ts"), place], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const [, ...rest] = entrypointIn(place);
  return [process.execPath, ...rest, "run"].join(" ");
}
