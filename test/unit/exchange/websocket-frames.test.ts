import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { closeFrame, FrameFollower } from "../../../src/exchange/websocket-frames.ts";

/** A frame of this many bytes, as RFC 6455 section 5.2 has it. */
function frameOf(bytes: number, isMasked: boolean): Buffer {
  const mask = isMasked ? 0x80 : 0;
  const head = Buffer.alloc(bytes < 126 ? 2 : bytes < 65_536 ? 4 : 10);
  head[0] = 0x82;
  head[1] = mask | (bytes < 126 ? bytes : bytes < 65_536 ? 126 : 127);
  if (head.length === 4) head.writeUInt16BE(bytes, 2);
  if (head.length === 10) head.writeBigUInt64BE(BigInt(bytes), 2);
  return Buffer.concat([head, Buffer.alloc(isMasked ? 4 : 0, 9), Buffer.alloc(bytes, 0x88)]);
}

describe("the frames of a WebSocket", () => {
  it("end where they end, however they are cut into chunks", () => {
    const length = fc.oneof(fc.nat(130), fc.constantFrom(65_535, 65_536, 70_000));
    const frames = fc.array(fc.tuple(length, fc.boolean()), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(frames, fc.array(fc.integer({ min: 1, max: 40_000 }), { minLength: 1 }), (given, cuts) => {
        const whole = given.map(([bytes, isMasked]) => frameOf(bytes, isMasked));
        const ends = new Set<number>();
        whole.reduce((at, frame) => (ends.add(at + frame.length), at + frame.length), 0);
        const bytes = Buffer.concat(whole);
        const follower = new FrameFollower();
        for (let at = 0, cut = 0; at < bytes.length; cut += 1) {
          const chunk = bytes.subarray(at, at + (cuts[cut % cuts.length] as number));
          const expected = [...ends].find((end) => end > at && end <= at + chunk.length);
          assert.equal(follower.follow(chunk), expected === undefined ? -1 : expected - at);
          at += chunk.length;
          assert.equal(follower.between, ends.has(at));
        }
      }),
    );
  });

  it("before the first byte there is room for one, within a head there is none", () => {
    const follower = new FrameFollower();
    assert.equal(follower.between, true);
    follower.follow(Buffer.from([0x81]));
    assert.equal(follower.between, false);
    assert.equal(follower.follow(Buffer.from([0])), 1);
    assert.equal(follower.between, true);
  });

  it("that close tell their code, however they are masked and cut; what comes behind changes nothing", () => {
    const ours = (code: number, isMasked: boolean): Buffer => closeFrame(code, isMasked);
    fc.assert(
      fc.property(
        fc.nat(65_535),
        fc.boolean(),
        fc.integer({ min: 1, max: 9 }),
        fc.nat(300),
        (code, isMasked, cut, before) => {
          const bytes = Buffer.concat([
            frameOf(before, isMasked),
            ours(code, isMasked),
            ours(4000, isMasked),
          ]);
          const follower = new FrameFollower();
          for (let at = 0; at < bytes.length; at += cut) follower.follow(bytes.subarray(at, at + cut));
          assert.equal(follower.closeCode, code);
        },
      ),
    );
    const follower = new FrameFollower();
    follower.follow(frameOf(200, true));
    assert.equal(follower.closeCode, undefined);
    // An empty one, one that is a byte short, and then a frame whose first byte is none of its.
    for (const short of [
      [0x88, 0],
      [0x88, 1, 3],
    ]) {
      const other = new FrameFollower();
      other.follow(Buffer.from([...short, 0x82, 1, 0xe8]));
      assert.equal(other.closeCode, 1005);
    }
  });

  it("of ours: a close, masked towards the service", () => {
    assert.deepEqual([...closeFrame(1008, false)], [0x88, 2, 0x03, 0xf0]);
    const masked = closeFrame(1008, true);
    assert.deepEqual([masked[0], masked[1], masked.length], [0x88, 0x82, 8]);
    const code = [6, 7].map((at) => (masked[at] as number) ^ (masked[at - 4] as number));
    assert.deepEqual(code, [0x03, 0xf0]);
  });
});
