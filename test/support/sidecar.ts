// Sidecars for tests of our own, as the test kit of plugins starts them.
export * from "../../src/testing/sidecar.ts";
