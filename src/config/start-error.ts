// Errors that keep a sidecar from starting and need no stack: the operator has to change something, not the program.
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { hostPort } from "../language/address-text.ts";
import type { ListenAddress } from "./formats.ts";

/** Only the message is shown, in one line. */
export class StartError extends Error {
  override readonly name = "StartError";
}

/** Binds a listener, or rejects with a StartError that names the setting and the address. */
export async function bind<Address>(
  setting: "OUTRIGGER_LISTEN" | "OUTRIGGER_EGRESS" | "OUTRIGGER_ADMIN",
  listen: ListenAddress | { readonly fd: number },
  listening: () => Promise<Address>,
): Promise<Address> {
  try {
    return await listening();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (typeof code !== "string") throw error;
    const where = textOf(listen);
    const isFile = "path" in listen;
    // libuv reports a missing folder like one without write permission.
    const found = isFile && code === "EACCES" && !existsSync(dirname(listen.path)) ? "ENOENT" : code;
    throw new StartError(`${setting}: ${where} ${trouble(found, isFile)}`, { cause: error });
  }
}

function textOf(listen: ListenAddress | { readonly fd: number }): string {
  if ("fd" in listen) return `the socket passed as descriptor ${listen.fd}`;
  return "path" in listen ? `unix:${listen.path}` : hostPort(listen.host, listen.port);
}

function trouble(code: string, isSocketFile: boolean): string {
  switch (code) {
    case "EADDRINUSE":
      return "is in use";
    case "EACCES":
      return isSocketFile
        ? "cannot be made: this user may not write to its folder (EACCES)"
        : "may not be bound by this user (EACCES): choose a port from 1024";
    case "EADDRNOTAVAIL":
      return "is no address of this machine (EADDRNOTAVAIL)";
    case "ENOENT":
      return "cannot be made: its folder does not exist (ENOENT)";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `cannot be bound: the name is not known (${code})`;
    default:
      return `cannot be bound: ${code}`;
  }
}
