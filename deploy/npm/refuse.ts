// `npm pack` and `npm publish` begin with this where they are not to be used: the sources, as they lie here, are nothing
// that Node runs out of a folder node_modules.
process.stderr.write(
  "what is published is build/: npm run build && npm pack ./build   (see deploy/guides/release.md)\n",
);
process.exitCode = 1;
