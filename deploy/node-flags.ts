// Flags and environment with which Node runs the sidecar. The Dockerfile, the Debian package and `npm start` use the
// same ones (tests check this).

/** The bytecode made at build time is valid only with these flags. */
export const nodeFlags: readonly string[] = [
  "--max-semi-space-size=8",
  "--expose-gc",
  "--no-memory-reducer",
  "--heap-growing-percent=50",
  "--no-maglev-destroy-on-background",
  "--disable-sigusr1",
];

/** glibc reads this when the process starts. */
export const nodeEnvironment: Readonly<Record<string, string>> = { MALLOC_ARENA_MAX: "1" };
