// Exports the policy language to plugins, so that their options read a path, a claim or a duration the same way as
// everywhere else.
export { byteSize } from "../language/byte-size.ts";
export { claimAt, claimPath, type Claims, claimText } from "../language/claim-path.ts";
export { isClosedAddress } from "../language/closed-addresses.ts";
export {
  durationText,
  milliseconds,
  parseDuration,
  parseWindow,
  seconds,
  type Window,
  windowLength,
} from "../language/duration.ts";
export { fieldKey, fieldName, writtenFieldName } from "../language/field-name.ts";
export { parseJson } from "../language/json.ts";
export { compileMethods, methodList, methodName } from "../language/methods.ts";
export { compileNetworks, network, networkReader } from "../language/network.ts";
export {
  compilePaths,
  pathPattern,
  type PathSet,
  patternsMeet,
  patternTakes,
  type RequestPaths,
} from "../language/path-pattern.ts";
