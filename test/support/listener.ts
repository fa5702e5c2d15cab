// Selects which listener reads clients' requests in the sidecars of this test run: `OUTRIGGER_LISTENER=node node --test
// FILE`.
const name = process.env["OUTRIGGER_LISTENER"];

export const listenerSettings: Readonly<Record<string, string>> =
  name === undefined ? {} : { OUTRIGGER_LISTENER: name };

/** Whether pipelined requests stay unread bytes until the request before them is done. */
export const readsInTurn = name !== "node";
