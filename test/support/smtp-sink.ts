import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';

/** A mail server on loopback, as far as a client that sends one mail can tell. RFC 5321. */
export class SmtpSink implements AsyncDisposable {
  /** Each mail as it came: headers and body. */
  readonly mails: string[] = [];
  /** Every command line of a client. */
  readonly commands: string[] = [];
  /** What the next mails are answered with at their end; then 250. */
  readonly answers: string[] = [];
  /** What the next logins are answered with; then 235. Only who speaks TLS is asked for one. */
  readonly logins: string[] = [];
  /** Says nothing at all. */
  hangs = false;
  /** Greets, and says nothing any more from this command on. */
  hangsAt: RegExp | undefined;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(secure?: { readonly key: Buffer; readonly cert: Buffer }) {
    this.#server = secure
      ? createTlsServer(secure, (socket) => this.#talk(socket, '250-sink\r\n250 AUTH PLAIN'))
      : createServer((socket) => this.#talk(socket, '250 fine'));
  }

  /** `secure`: TLS from the first byte. */
  static async start(secure?: { readonly key: Buffer; readonly cert: Buffer }): Promise<SmtpSink> {
    const sink = new SmtpSink(secure);
    sink.#server.listen(0, '127.0.0.1');
    await once(sink.#server, 'listening');
    return sink;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  #talk(socket: Socket, hello: string): void {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
    if (this.hangs) return;
    socket.write('220 sink ESMTP\r\n');
    let text = '';
    let isMail = false;
    socket.on('data', (chunk) => {
      text += chunk.toString('utf8');
      for (;;) {
        const end = isMail ? text.indexOf('\r\n.\r\n') : text.indexOf('\r\n');
        if (end < 0) return;
        const piece = text.slice(0, end);
        text = text.slice(end + (isMail ? 5 : 2));
        if (isMail) {
          isMail = false;
          const answer = this.answers.shift() ?? '250 taken';
          if (answer.startsWith('250')) this.mails.push(piece);
          socket.write(`${answer}\r\n`);
        } else {
          this.commands.push(piece);
          if (this.hangsAt?.test(piece)) return;
          isMail = /^DATA$/i.test(piece);
          if (isMail) socket.write('354 go on\r\n');
          else if (/^STARTTLS/i.test(piece)) socket.write('502 not here\r\n');
          else if (/^EHLO/i.test(piece)) socket.write(`${hello}\r\n`);
          else if (/^AUTH/i.test(piece)) socket.write(`${this.logins.shift() ?? '235 in'}\r\n`);
          else if (/^QUIT/i.test(piece)) socket.end('221 bye\r\n');
          else socket.write('250 fine\r\n');
        }
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
