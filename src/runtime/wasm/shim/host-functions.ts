// What a guest imports, by name.

/** 32 bits each; one of 64 comes as a bigint, which `BigInt(…)` takes as well. @returns a status */
export type HostFunctions = Record<string, (...numbers: number[]) => number>;
