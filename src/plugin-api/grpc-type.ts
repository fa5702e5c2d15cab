// Decides whether a message is gRPC. `application/grpc-web` is another protocol, for browsers: a plugin that serves it
// translates it first.

/** @param contentType value of Content-Type */
export function isGrpcType(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc(?:[+;]|$)/i.test(contentType);
}
