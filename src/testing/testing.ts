// The test kit of plugins, `outrigger/plugin/testing`: one hook on one exchange, one plugin on one route, a whole
// sidecar. Nothing that serves may import it.
export { TestClock } from "./clock.ts";
export { exchangeOf, type ExchangeFacts, flat, identityOf, outcomeOf } from "./exchange.ts";
export { type SetupFacts, type SetUpPlugin, setUpPlugin } from "./hooks.ts";
export { optionsTable } from "./options-table.ts";
export { problemsOf } from "./plugin-form.ts";
export { errorResponseOf, responseOf } from "./responses.ts";
export { startSidecar, type TestSidecar, type TestSidecarOptions } from "./sidecar.ts";
