#!/bin/sh
# Takes out of node_modules what no running program reads: types, maps, sources, documentation, and
# native code for other platforms. usage: prune-packages.sh NODE_MODULES
set -eu
cd "$1"

find . -type f \( -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.map' -o -name '*.ts' \
  -o -name '*.md' -o -name '*.markdown' -o -name '*.tsbuildinfo' \) ! -iname 'license*' -delete
rm -rf .package-lock.json .bin .cache
# Built for browsers and bundlers; Node takes the CommonJS (or ESM) beside it.
rm -rf better-sqlite3/deps better-sqlite3/src

# zod's fifty translations of messages: English is what these programs have it say.
find zod/v4/locales -type f ! -name 'en.*' ! -name 'index.*' -delete
echo "export { default as en } from './en.js';" > zod/v4/locales/index.js
echo "exports.en = require('./en.cjs').default;" > zod/v4/locales/index.cjs

# Prebuilt native code: this platform's alone.
platform=$(node -p 'process.platform + "-" + process.arch')
find . -path '*/prebuilds/*' -prune ! -name "$platform*" -exec rm -rf {} +
# Sources of native code that is optional, and that nobody compiles here.
rm -rf cpu-features nan node-addon-api
find . -type d -empty -delete
