// A route for tests of our own, as the test kit of plugins has it.
export * from "../../src/testing/route.ts";
