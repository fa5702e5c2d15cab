// What the files that declare commands have in common.

/** Takes what is to be run once the arguments are right. */
export type Choose = (run: () => Promise<number>) => void;

export const json = ["--json", "print JSON"] as const;
