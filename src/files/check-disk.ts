// A check before each write to disk: a drill uses it to simulate a full disk.

/** @throws Error as the system would, if writes are to fail */
export type CheckDisk = () => void;
