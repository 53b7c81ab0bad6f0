// A small application for container tests. GET / answers with its name and how often it was asked.
// SIGTERM ends it, unless the image or the container says IGNORE_SIGTERM=1.
import { createServer } from 'node:http';
import { hostname } from 'node:os';

let requests = 0;
const server = createServer((_request, response) => {
  requests += 1;
  response.end(`${JSON.stringify({ host: hostname(), requests })}\n`);
});

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.on(signal, () => {
    const ignored = process.env.IGNORE_SIGTERM === '1';
    console.log(`${signal}${ignored ? ', ignored' : ''}`);
    if (!ignored) process.exit(0);
  });
}

server.listen(Number(process.env.PORT ?? 8000), '0.0.0.0', () => console.log('listening'));
