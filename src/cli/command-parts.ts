// Holds what the files that declare commands share.

/** Sets the function to run once the arguments have been parsed. */
export type Choose = (run: () => Promise<number>) => void;

export const json = ["--json", "print JSON"] as const;
