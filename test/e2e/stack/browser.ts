import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** Chromium without a window, driven over its DevTools protocol: one page. */
/** A browser of its own accord looks for updates, accounts and safe-browsing lists: not here. */
const QUIET = [
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-quic',
  '--disable-sync',
  '--no-first-run',
];

export class Browser implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #profile: string;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #session: string | undefined;
  #last = 0;

  private constructor(process: ChildProcess, profile: string, socket: WebSocket) {
    this.#process = process;
    this.#profile = profile;
    this.#socket = socket;
    socket.addEventListener('message', ({ data }) => {
      const answer = JSON.parse(String(data)) as Answer;
      if (answer.id === undefined) return;
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
  }

  static async start(program: string): Promise<Browser> {
    const profile = await mkdtemp(join(tmpdir(), 'dropback-chromium-'));
    const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', ...QUIET];
    const started = spawn(
      program,
      [...flags, '--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank'],
      { stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env['PATH'], HOME: profile } },
    );
    const socket = new WebSocket(await addressOf(started));
    await new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve);
      socket.addEventListener('error', reject);
    });
    const browser = new Browser(started, profile, socket);
    const { targetId } = await browser.#send('Target.createTarget', { url: 'about:blank' });
    const attached = await browser.#send('Target.attachToTarget', { targetId, flatten: true });
    browser.#session = String(attached['sessionId']);
    return browser;
  }

  async size(width: number, height: number): Promise<void> {
    const metrics = { width, height, deviceScaleFactor: 1, mobile: width < 600 };
    await this.#send('Emulation.setDeviceMetricsOverride', metrics);
  }

  async open(url: string): Promise<void> {
    await this.#send('Page.navigate', { url });
  }

  /** What an expression is in the page; undefined while the page changes. */
  async evaluate(expression: string): Promise<unknown> {
    const { result } = (await this.#send('Runtime.evaluate', {
      expression,
      returnByValue: true,
    })) as { result?: { value?: unknown } };
    return result?.value;
  }

  heading(): Promise<unknown> {
    return this.evaluate("document.querySelector('h1')?.textContent ?? ''");
  }

  async screenshot(path: string): Promise<void> {
    const { data } = await this.#send('Page.captureScreenshot', { format: 'png' });
    await writeFile(path, Buffer.from(String(data), 'base64'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    const gone = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGKILL');
    await gone;
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }

  async #send(method: string, params: object): Promise<Record<string, unknown>> {
    const id = ++this.#last;
    const answered = new Promise<Answer>((resolve) => this.#waiting.set(id, resolve));
    const session = this.#session === undefined ? {} : { sessionId: this.#session };
    this.#socket.send(JSON.stringify({ id, method, params, ...session }));
    const { result, error } = await answered;
    if (error) throw new Error(`${method}: ${error.message}`);
    return result ?? {};
  }
}

interface Answer {
  readonly id?: number;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

/** Chromium prints the address once it listens. */
async function addressOf(started: ChildProcess): Promise<string> {
  if (!started.stderr) throw new Error('no standard error');
  const lines: string[] = [];
  for await (const line of createInterface({ input: started.stderr })) {
    const address = /DevTools listening on (ws:\S+)/.exec(line)?.[1];
    if (address) {
      started.stderr.resume();
      return address;
    }
    lines.push(line);
  }
  throw new Error(`chromium did not start: ${lines.join('\n')}`);
}
