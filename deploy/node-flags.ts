// How Node runs the sidecar: the Dockerfile, the Debian package and `npm start` do the same (held by tests).

/** The bytecode that is made at build time holds for no other flags. */
export const nodeFlags: readonly string[] = [
  "--max-semi-space-size=8",
  "--expose-gc",
  "--no-memory-reducer",
  "--heap-growing-percent=50",
  "--no-maglev-destroy-on-background",
  "--disable-sigusr1",
];

/** Read by glibc when the process starts. */
export const nodeEnvironment: Readonly<Record<string, string>> = { MALLOC_ARENA_MAX: "1" };
