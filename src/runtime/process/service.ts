// What a plugin's process may ask for, each a function of what came with the request.

export interface Reply {
  readonly value: unknown;
  readonly bytes?: Buffer;
}

export type Service = (args: readonly unknown[], blobs: readonly Buffer[]) => Promise<Reply>;
