// Runs nft without a shell. Commands are passed as a JSON argument, because nft cannot open a socket as its stdin. An
// error of nft becomes one sentence that says what to do.
import { execFile, type ExecFileException } from "node:child_process";
import { accessSync, constants, readFileSync } from "node:fs";
import { release } from "node:os";
import { delimiter, join } from "node:path";
import { removal, serviceOfTable, tableName } from "./rules.ts";
import { type Installed, readTable } from "./read-rules.ts";

/** Says why nothing was done; the message is shown to the user as it is. */
export class InterceptError extends Error {
  override readonly name = "InterceptError";
}

/** PATH of users other than root often lacks these folders. */
const systemFolders = ["/usr/sbin", "/sbin"];
const limitMs = 10_000;
const maxOutput = 16 * 1_024 * 1_024;

export interface Nft {
  /** Applies all commands in one transaction, or none. */
  apply(commands: object): Promise<void>;
  /** undefined = the service has no table. */
  read(service: string): Promise<Installed | undefined>;
  /** Services that have a table. */
  services(): Promise<readonly string[]>;
  /** @returns whether the service had a table */
  remove(service: string): Promise<boolean>;
}

/** @throws InterceptError when nft is not installed, or this process may not use it */
export function findNft(path = "", folders: readonly string[] = systemFolders): Nft {
  const program = programIn([...path.split(delimiter), ...folders]);
  if (program === undefined)
    throw new InterceptError("nft is not installed: install the package nftables (Debian, Alpine, Fedora)");
  if (!mayAdministerNetwork())
    throw new InterceptError(
      "this process lacks CAP_NET_ADMIN: run it as root; in Kubernetes, give the init container capabilities: { add: [NET_ADMIN] }",
    );
  const ask = async (commands: object): Promise<string> =>
    await run(program, ["-j", "-n", JSON.stringify(commands)]);
  const list = async (what: object) =>
    JSON.parse((await ask({ nftables: [{ list: what }] })) || "{}") as { nftables?: unknown };
  const services = async () => {
    const { nftables } = await list({ tables: { family: "inet" } });
    return (Array.isArray(nftables) ? (nftables as { table?: { name?: unknown } }[]) : []).flatMap(
      ({ table }) => (typeof table?.name === "string" ? (serviceOfTable(table.name) ?? []) : []),
    );
  };
  const apply = async (commands: object): Promise<void> => void (await ask(commands));
  return {
    apply,
    services,
    async read(service) {
      if (!(await services()).includes(service)) return undefined;
      return readTable(service, await list({ table: { family: "inet", name: tableName(service) } }));
    },
    async remove(service) {
      const was = (await services()).includes(service);
      if (was) await apply(removal(service));
      return was;
    },
  };
}

function programIn(folders: readonly string[]): string | undefined {
  return folders
    .filter((folder) => folder.startsWith("/"))
    .map((folder) => join(folder, "nft"))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

const capNetAdmin = 12n;

/** True when the system does not tell: nft itself will refuse then. */
function mayAdministerNetwork(): boolean {
  try {
    const [, effective] = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync("/proc/self/status", "latin1")) ?? [];
    return effective === undefined || ((BigInt(`0x${effective}`) >> capNetAdmin) & 1n) === 1n;
  } catch {
    return true;
  }
}

function run(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { timeout: limitMs, maxBuffer: maxOutput, env: { LC_ALL: "C" } };
    execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new InterceptError(sentenceOf(error, stderr)));
    });
  });
}

function sentenceOf({ killed, code }: ExecFileException, stderr: string): string {
  const [first = ""] = stderr.split("\n").filter((line) => line.trim() !== "");
  if (killed === true) return `nft did not answer within ${limitMs / 1_000} s`;
  if (/Operation not permitted|must be root/.test(stderr))
    return "nft may not change rules here: run it with CAP_NET_ADMIN in this network namespace";
  if (/JSON support not compiled/i.test(stderr))
    return "this nft was built without JSON: install one of your distribution that has it";
  if (/Could not process rule: (No such file|Operation not supported|Protocol|Not supported)/.test(stderr))
    return `this kernel (${release()}) cannot do it: it takes Linux 5.2 or newer with the modules nft_chain_nat, nft_redir, nft_fib_inet and nft_reject_inet, which the host has to load`;
  return `nft failed (${String(code)}): ${first.slice(0, 300)}`;
}
