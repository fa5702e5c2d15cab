// Exchanges for tests of our own, as the test kit of plugins makes them.
export * from "../../src/testing/exchange.ts";
