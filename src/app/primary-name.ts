/** Name of the process that governs several workers, in log lines, metrics and records. The workers have numbers. */
export const primaryName = "primary";
