// What reads clients' requests in the sidecars of this run of tests: `OUTRIGGER_LISTENER=node node --test FILE`.
const name = process.env["OUTRIGGER_LISTENER"];

export const listenerSettings: Readonly<Record<string, string>> =
  name === undefined ? {} : { OUTRIGGER_LISTENER: name };

/** Requests behind one in flight are bytes then, which nobody looks at before their turn. */
export const readsInTurn = name !== "node";
