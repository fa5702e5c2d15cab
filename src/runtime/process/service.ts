// Defines a service that a plugin's process may ask for: a function of a request's arguments and bytes.

export interface Reply {
  readonly value: unknown;
  readonly bytes?: Buffer;
}

export type Service = (args: readonly unknown[], blobs: readonly Buffer[]) => Promise<Reply>;
