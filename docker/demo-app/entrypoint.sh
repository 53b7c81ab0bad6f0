#!/bin/sh
# Waits for the database, creates and migrates it, then becomes the server.
set -eu
node /app/src/prepare.ts
exec node /app/src/serve.ts
