/** What the process that governs several workers is called, where these have numbers: in log lines, metrics and records. */
export const primaryName = "primary";
