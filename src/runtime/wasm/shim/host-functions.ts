// Defines the type of the functions that a guest imports, by name.

/**
 * Parameters are 32-bit numbers. A 64-bit one comes as a bigint, so code reads it with `BigInt(…)`.
 * @returns a status
 */
export type HostFunctions = Record<string, (...numbers: number[]) => number>;
