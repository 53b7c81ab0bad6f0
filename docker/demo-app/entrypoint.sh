#!/bin/sh
# Waits for the database, creates and migrates it, then becomes the server.
set -eu
node /app/dist/prepare.js
exec node /app/dist/serve.js
