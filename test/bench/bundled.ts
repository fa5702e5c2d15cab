// Makes a bundle for this run, and gives the command that starts the sidecar from it as the image does.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { entrypointIn } from "../support/dockerfile.ts";
import { folder } from "./processes.ts";

/** @returns the command line, without its environment */
export function bundledCommand(): string {
  const place = join(folder, "app");
  execFileSync(process.execPath, [join(import.meta.dirname, "../../deploy/bundle.ts"), place], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const [, ...rest] = entrypointIn(place);
  return [process.execPath, ...rest, "run"].join(" ");
}
