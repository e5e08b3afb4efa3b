// A FirecREST server for a test file: the simulator as a program, which ends with this process. AIIDA_FIRECREST_CONFIG names a real server's
// configuration in its place.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Session } from 'aiida-firecrest-wasm';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const target = resolve(root, process.env.CARGO_TARGET_DIR ?? 'target');
const program = process.env.FIRECREST_SIMULATOR ?? join(target, 'debug', 'firecrest-simulator');

/** A folder here that is gone when this process has ended. (Not `after` of node:test: a hook that is called in another hook belongs to the first test.) */
export function localFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'aiida-firecrest-node-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/**
 * Starts a simulator that ends with this process, because its stdin does; or takes the server that AIIDA_FIRECREST_CONFIG names.
 * @param {...string} args
 */
export async function startSimulator(...args) {
  const given = process.env.AIIDA_FIRECREST_CONFIG;
  if (given !== undefined) {
    const config = JSON.parse(readFileSync(given, 'utf8'));
    return described(config, given);
  }
  const configFile = join(localFolder(), 'firecrest.json');
  const child = spawn(program, ['--config-out', configFile, '--until-stdin-closes', ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout });
  await Promise.race([
    once(lines, 'line'),
    once(child, 'error').then(([error]) => {
      throw new Error(`${program} does not start (cargo build -p firecrest-simulator): ${error.message}`);
    }),
  ]);
  for (const handle of [child, child.stdin, child.stdout]) /** @type {any} */ (handle).unref();
  const config = JSON.parse(readFileSync(configFile, 'utf8'));
  return described(config, configFile);
}

/**
 * @param {Record<string, any>} config
 * @param {string} configFile
 */
function described(config, configFile) {
  const tokens = new URL(config.token_uri);
  return { url: String(config.url), config, configFile, origin: new URL(config.url).origin, tokenOrigin: tokens.origin, tokenPath: tokens.pathname };
}

/** @typedef {Awaited<ReturnType<typeof startSimulator>>} Simulator */

let count = 0;

/**
 * A session, and a folder of its own on the cluster.
 * @param {Simulator} simulator
 * @param {import('aiida-firecrest-wasm').OpenOptions} [given]
 */
export async function openSession(simulator, given) {
  const session = await Session.open(simulator.config, given);
  const folder = `${simulator.config.workdir}/node-${process.pid}-${++count}`;
  await session.mkdir(folder, { parents: true, existOk: true });
  return { session, folder };
}

/**
 * What a promise is rejected with.
 * @param {PromiseLike<unknown>} promise
 * @returns {Promise<import('aiida-firecrest-wasm').FirecrestError>}
 */
export async function refusal(promise) {
  try {
    await promise;
  } catch (error) {
    return /** @type {any} */ (error);
  }
  throw new Error('it was not refused');
}
