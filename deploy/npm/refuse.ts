// Makes `npm pack` and `npm publish` fail in the folder of the sources: Node does not run TypeScript inside of
// node_modules.
process.stderr.write(
  "what is published is build/: npm run build && npm pack ./build   (see deploy/guides/release.md)\n",
);
process.exitCode = 1;
