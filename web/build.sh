#!/bin/sh
# Makes dist/ from src/ and the npm packages named in package-lock.json. The
# result is the same on every machine. It is committed, so that building the
# program needs no npm; run this after a change here.
set -eu
cd "$(dirname "$0")"
out=${1:-dist}

../scripts/retry npm ci --ignore-scripts --no-audit --no-fund --fetch-retries 5 --fetch-timeout 120000

rm -rf "$out"
mkdir -p "$out/licenses"
cp src/console.html src/console.css src/console.js src/icon.svg "$out/"
# The licence stays; remarks of a line, meant for its authors, do not.
sed '/^ *\/\*.*\*\/ *$/d' node_modules/@xterm/xterm/css/xterm.css >"$out/xterm.css"
# The source maps are left out, and so is the line that names them.
for module in xterm addon-fit; do
	sed '/^\/\/# sourceMappingURL=/d' "node_modules/@xterm/$module/lib/$module.mjs" >"$out/$module.mjs"
	cp "node_modules/@xterm/$module/LICENSE" "$out/licenses/xterm-$module.txt"
done
mv "$out/licenses/xterm-xterm.txt" "$out/licenses/xterm.txt"
