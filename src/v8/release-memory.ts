// Memory that was needed for a moment goes back to the system, which V8 by itself puts off for as long as there is room.

/**
 * After the start, when the young generation goes from its full size to nothing, after a large policy and after a crowd
 * of connections: 18 MiB, hundreds of MiB and 60 MiB resident less, for one pause of about 25 ms and of as much as what
 * stays is large. Only under `--expose-gc`, which the image and `npm start` set.
 */
export function releaseMemory(): void {
  globalThis.gc?.({ type: "major", execution: "sync", flavor: "last-resort" });
}
