// How long a session takes to be there, without a server: node scripts/figures.mjs
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

/** Wall time, and the process's own on all its threads: the second does not depend on what else the machine does. */
async function timed(/** @type {string} */ name, /** @type {() => Promise<any>} */ action) {
  const [wall, cpu] = [performance.now(), process.cpuUsage()];
  const result = await action();
  const { user, system } = process.cpuUsage(cpu);
  console.log(`${name.padEnd(42)} ${(performance.now() - wall).toFixed(0)} ms, ${((user + system) / 1000).toFixed(0)} ms of CPU`);
  return result;
}

const { describe } = await timed('import', () => import('aiida-firecrest-wasm'));
await timed('first call: compile, start, instantiate', describe);
await timed('another worker, with one call', describe);
const folder = new URL('../dist/component/', import.meta.url);
for (const name of readdirSync(folder).filter((name) => /\.(js|wasm)$/.test(name))) {
  const path = new URL(name, folder);
  console.log(`${name.padEnd(42)} ${statSync(path).size} bytes, ${gzipSync(readFileSync(path)).length} compressed`);
}
