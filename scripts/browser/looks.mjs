// A page in every look: phone and desktop, light and dark; a picture of each, and axe in each: nobody may be left out.
import { readFileSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import assert from 'node:assert/strict';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const folder = process.env.SCREENSHOTS;
mkdirSync(folder, { recursive: true });

const looks = ['light', 'dark'].flatMap((colorScheme) =>
  [['phone', 390, 760], ['desktop', 1200, 800]].map((size) => ({ colorScheme, size })));

export async function look(page, name) {
  for (const { colorScheme, size: [size, width, height] } of looks) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height });
    await page.screenshot({ path: `${folder}/${name}-${size}-${colorScheme}.png`, fullPage: true });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
    assert.ok(!wide, `${name} is wider than a ${size}`);
    // Runs in the debugger's world, so that the page's policy need not allow it.
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run());
    assert.deepEqual(violations.map(({ id, nodes }) => [id, nodes.map((node) => node.html)]), [], name);
  }
}
