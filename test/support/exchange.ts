// Exchanges for this project's tests, made by the test kit of plugins.
export * from "../../src/testing/exchange.ts";
