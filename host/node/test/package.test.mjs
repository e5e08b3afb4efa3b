// The tarball, installed into an empty folder from nothing but itself.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { localFolder, startSimulator } from './simulator.mjs';

const run = promisify(execFile);
const here = fileURLToPath(new URL('..', import.meta.url));

test('the packed package works where it is installed', async () => {
  const folder = localFolder();
  const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], { cwd: here });
  const [{ filename, files }] = JSON.parse(stdout);
  const names = files.map((/** @type {{ path: string }} */ file) => file.path);
  for (const needed of ['dist/index.js', 'dist/index.d.ts', 'dist/component/aiida_firecrest.core.wasm', 'README.md', 'LICENSE']) {
    assert.ok(names.includes(needed), `${needed} is in ${names.join(' ')}`);
  }
  assert.ok(!names.some((/** @type {string} */ name) => /^(test|src|node_modules)/.test(name)));

  writeFileSync(join(folder, 'package.json'), '{"private": true, "type": "module"}');
  await run('npm', ['install', '--offline', '--no-audit', '--no-fund', join(folder, filename)], { cwd: folder });
  const simulator = await startSimulator();
  const program = `import { Session, Options } from 'aiida-firecrest-wasm';
    const session = await Session.open(Options.fromFile(process.argv[1]));
    console.log((await session.whoami()).name);
    await session.close();`;
  const ran = await run(process.execPath, ['--input-type=module', '-e', program, simulator.configFile], { cwd: folder, timeout: 60_000 });
  assert.equal(ran.stdout.trim(), 'fireuser');
});
