import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { Browser } from './browser.ts';
import { chromium, docker, findEngine } from './engine.ts';
import { artefacts, Stack, until } from './stack.ts';

const engine = chromium !== undefined && (await findEngine());

describe.skipIf(!engine)('contacts on the maintenance page', () => {
  beforeAll(async () => {
    await using stack = await Stack.create({ files: ['docker/compose.prod.yml'] });
    await stack.compose(['build', 'gateway']);
  }, 900_000);

  test('hostile and long contacts are shown as what they are', async () => {
    await using browser = await Browser.start(chromium as string);
    const name = `dropback-e2e-contacts-${process.pid}`;
    const label = `</a><script>document.title='owned'</script>\${HOME} & "'${' and on'.repeat(60)}`;
    const link = 'https://example.com/"onmouseover="alert(1)';
    const email = `"><img/src=x/onerror=alert(1)>${'x'.repeat(300)}@example.com`;
    const contact = { LABEL: label, LINK: link, EMAIL: email };
    const env = Object.entries(contact).flatMap(([k, v]) => [
      '-e',
      `MAINTENANCE_CONTACT_${k}=${v}`,
    ]);
    const flags = ['-d', '--name', name, '-p', '127.0.0.1::8080', ...env];
    await docker(['run', ...flags, 'dropback-demo-gateway']);
    try {
      const [host] = (await docker(['port', name, '8080'])).stdout.trim().split('\n');
      for (const [width, height] of [
        [390, 844],
        [1280, 800],
      ] as const) {
        await browser.size(width, height);
        await browser.open(`http://${host}/`);
        const shown = async () => /moment/.test(String(await browser.heading()));
        await until('the page', shown);
        expect(await browser.evaluate(facts)).toEqual({
          title: 'Back in a moment',
          elements: ['A', 'A'],
          texts: [label, email],
          hrefs: [link, `mailto:${email}`],
          overflow: false,
        });
        await browser.screenshot(join(await artefacts(), `contact-${width}.png`));
      }
    } finally {
      await docker(['rm', '-f', name]);
    }
  }, 120_000);
});

/** What the page has made of the contacts. */
const facts = `({
  title: document.title,
  elements: [...document.querySelectorAll('.contact *')].map((e) => e.tagName),
  texts: [...document.querySelectorAll('.contact a')].map((e) => e.textContent),
  hrefs: [...document.querySelectorAll('.contact a')].map((e) => e.getAttribute('href')),
  overflow: document.documentElement.scrollWidth > document.documentElement.clientWidth,
})`;
