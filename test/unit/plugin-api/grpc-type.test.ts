// Recognises gRPC by the content type.
import assert from "node:assert/strict";
import { test } from "node:test";
import { isGrpcType } from "../../../src/plugin-api/grpc-type.ts";

test("gRPC is known by its type in any spelling, with a format or parameters, and nothing else is taken for it", () => {
  for (const type of [
    "application/grpc",
    "Application/gRPC",
    "application/grpc+proto",
    "application/grpc;v=1",
  ])
    assert.equal(isGrpcType(type), true, type);
  for (const type of [undefined, "", "application/grpc-web", "application/grpcx", "text/application/grpc"])
    assert.equal(isGrpcType(type), false, String(type));
});
