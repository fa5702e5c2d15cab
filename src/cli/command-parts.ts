// Holds what the files that declare commands share.

/** Sets the function to run once the arguments have been parsed. */
export type Choose = (run: () => Promise<number>) => void;

export const wrongWait = "--wait takes a time such as 30s, as in --wait=30s, or nothing";

export const json = ["--json", "print JSON"] as const;
