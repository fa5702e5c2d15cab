// Asked before what is written to disk: a drill has a process behave as if that were full.

/** @throws Error as the system would, where nothing is to be written */
export type CheckDisk = () => void;
