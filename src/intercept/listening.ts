// Finds where sockets listen in this network namespace, from /proc/net/tcp and tcp6 (proc_pid_net(5)).
import { type FileHandle, open } from "node:fs/promises";
import { endianness } from "node:os";
import ipaddr from "ipaddr.js";

const listenState = "0A";
const chunkBytes = 4_096;

/**
 * Reads asynchronously: to find that a family has no listener, the kernel scans all its connections, which takes
 * milliseconds.
 * @param port whose listeners are wanted
 * @param folder the `net` folder of the process whose network namespace is read
 * @returns addresses, IPv4-mapped IPv6 as IPv4; undefined = this system does not tell
 */
export async function listeningAt(
  port: number,
  folder = "/proc/self/net",
): Promise<readonly string[] | undefined> {
  const [four, six] = await Promise.all([
    readListening(`${folder}/tcp`, port, undefined),
    // A kernel without IPv6 has no such file.
    readListening(`${folder}/tcp6`, port, []),
  ]);
  return four === undefined || six === undefined ? undefined : [...four, ...six];
}

/**
 * @param absent the result when there is no such file
 * @returns undefined when the file cannot be read
 */
async function readListening(
  path: string,
  port: number,
  absent: string[] | undefined,
): Promise<string[] | undefined> {
  let file: FileHandle | undefined;
  try {
    file = await open(path);
    return await listeningIn(file, port);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? absent : undefined;
  } finally {
    await file?.close();
  }
}

/** Stops at the first connection: the kernel lists listeners first, and there may be many thousands of connections. */
async function listeningIn(file: FileHandle, port: number): Promise<string[]> {
  const found: string[] = [];
  let rest = "";
  for (const chunk = Buffer.allocUnsafe(chunkBytes); ;) {
    const { bytesRead } = await file.read(chunk);
    const lines = (rest + chunk.toString("latin1", 0, bytesRead)).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const [number = "", local = "", , state] = line.trim().split(/\s+/, 4);
      if (!number.endsWith(":")) continue;
      if (state !== listenState) return found;
      const [address = "", portText = ""] = local.split(":");
      if (Number.parseInt(portText, 16) === port) found.push(addressOf(address));
    }
    if (bytesRead === 0) return found;
  }
}

/** The kernel writes an address as 32-bit words in the machine's byte order. */
function addressOf(text: string): string {
  const bytes = Buffer.from(text, "hex");
  if (endianness() === "LE") bytes.swap32();
  return ipaddr.process(ipaddr.fromByteArray([...bytes]).toString()).toString();
}
