// The flags under which the sidecar runs, for the build; the Dockerfile and `npm start` have the same (held by a test).
export const nodeFlags: readonly string[] = [
  "--max-semi-space-size=8",
  "--expose-gc",
  "--no-memory-reducer",
  "--disable-sigusr1",
];
