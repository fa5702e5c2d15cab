// The test kit for plugins, `outrigger/plugin/testing`: call one hook on one exchange, set up one plugin on one route,
// or start a whole sidecar. Code that serves must not import it.
export { TestClock } from "./clock.ts";
export { exchangeOf, type ExchangeFacts, flat, identityOf, outcomeOf } from "./exchange.ts";
export { type SetupFacts, type SetUpPlugin, setUpPlugin } from "./hooks.ts";
export { optionsTable } from "./options-table.ts";
export { problemsOf } from "./plugin-form.ts";
export { errorResponseOf, responseOf } from "./responses.ts";
export { startSidecar, type TestSidecar, type TestSidecarOptions } from "./sidecar.ts";
