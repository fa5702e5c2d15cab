// Node defines some globals by getters, which optimised code calls for each read: 27 to 38 ns (Node 26).

const read = ["performance", "process", "Buffer"] as const;

/** They become values, as they read. */
export function makeGlobalsPlain(): void {
  for (const name of read) {
    Object.defineProperty(globalThis, name, {
      value: globalThis[name],
      writable: true,
      enumerable: false,
      configurable: true,
    });
  }
}
