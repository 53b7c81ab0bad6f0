import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * Answers as the transit engine of Vault does, as far as radosgw asks it for the keys of SSE-S3: it
 * makes one for each object, and tells it again. That a key is wrapped is only said: what encrypts is
 * the gateway.
 */
export class KeyService implements AsyncDisposable {
  readonly url: string;
  /** Keys that were made, and those that were asked for again. */
  readonly told = { made: 0, again: 0 };
  readonly #server: Server;

  private constructor(server: Server) {
    const { address, port } = server.address() as AddressInfo;
    this.url = `http://${address}:${port}`;
    this.#server = server;
  }

  /** `host`: the address of this machine that the gateway reaches. */
  static async start(host: string): Promise<KeyService> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(0, host, resolve);
    });
    const service = new KeyService(server);
    server.on('request', (request, response) => {
      let body = '';
      request.on('data', (piece) => {
        body += piece;
      });
      request.on('end', () => response.end(service.#answer(request.url ?? '', body)));
    });
    return service;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #answer(path: string, body: string): string {
    if (path.startsWith('/v1/transit/datakey/plaintext/')) {
      this.told.made++;
      const plaintext = randomBytes(32).toString('base64');
      return JSON.stringify({ data: { plaintext, ciphertext: `vault:v1:${plaintext}` } });
    }
    if (path.startsWith('/v1/transit/decrypt/')) {
      this.told.again++;
      const { ciphertext } = JSON.parse(body) as { ciphertext: string };
      return JSON.stringify({ data: { plaintext: ciphertext.slice('vault:v1:'.length) } });
    }
    // A bucket's own key is made.
    return '';
  }
}
