// Reads how much of the written bytes the kernel still holds. A writer alone does not see that: Linux reports room only
// when a third of the buffer is free, which is a megabyte, and half a minute of a slow client.
import { readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import ipaddr from "ipaddr.js";

/** Bytes that the client's side has not acknowledged, for those connections that the system reports. */
export type Unacknowledged = ReadonlyMap<Socket, number>;

interface Handle {
  readonly bytesWritten?: number;
  readonly writeQueueSize?: number;
  /** Under TLS: the handle of the connection below. */
  readonly _parent?: Handle;
}

/** Bytes that the kernel has taken so far. The queue size is not public in Node (26). */
export function handedOver(socket: Socket): number {
  const { _handle: top } = socket as { _handle?: Handle | null };
  const handle = top?._parent ?? top;
  return (handle?.bytesWritten ?? 0) - (handle?.writeQueueSize ?? 0);
}

/** Never rejects: without a table of connections (not Linux, unix sockets), the result is empty. */
export async function readUnacknowledged(sockets: readonly Socket[]): Promise<Unacknowledged> {
  const wanted = new Map<string, Socket>();
  for (const socket of sockets) {
    const { localAddress, localPort, remoteAddress, remotePort } = socket;
    if (localAddress === undefined || remoteAddress === undefined) continue;
    wanted.set(`${endOf(localAddress, localPort)} ${endOf(remoteAddress, remotePort)}`, socket);
  }
  const found = new Map<Socket, number>();
  if (wanted.size === 0) return found;
  for (const table of ["/proc/self/net/tcp", "/proc/self/net/tcp6"]) {
    const text = await readFile(table, "latin1").catch(() => "");
    for (const [, ends = "", queued = ""] of text.matchAll(/^ *\d+: (\S+ \S+) \S+ ([0-9A-F]{8}):/gm)) {
      const socket = wanted.get(ends);
      if (socket !== undefined) found.set(socket, Number.parseInt(queued, 16));
    }
  }
  return found;
}

/**
 * One end as the table writes it: words of the address in machine byte order (little-endian), the port in normal order.
 */
function endOf(address: string, port = 0): string {
  const bytes = ipaddr.parse(address.split("%", 1)[0] as string).toByteArray();
  let text = "";
  for (let word = 0; word < bytes.length; word += 4) {
    for (let at = word + 3; at >= word; at -= 1) text += hex(bytes[at] ?? 0, 2);
  }
  return `${text}:${hex(port, 4)}`;
}

function hex(value: number, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, "0");
}
