// What a session may not do, what it must not tell, and how it ends.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inspect, promisify } from 'node:util';
import { FirecrestError, Options, Session } from 'aiida-firecrest-wasm';
// @ts-expect-error It is no part of the package's face.
import { engineOf } from '../dist/session.js';
import { localFolder, openSession, refusal, startSimulator } from './simulator.mjs';

/** @type {import('./simulator.mjs').Simulator} */ let simulator;

before(async () => {
  simulator = await startSimulator('--latency', '2');
});

const here = fileURLToPath(new URL('..', import.meta.url));

test('an origin that is not allowed is refused, and named', async () => {
  const nothing = await refusal(Session.open(simulator.config, { onlyOrigins: [] }));
  assert.ok(nothing instanceof FirecrestError);
  assert.deepEqual([nothing.kind, nothing.origin], ['permission-denied', simulator.tokenOrigin]);
  assert.match(nothing.message, new RegExp(simulator.tokenOrigin));

  // The object store is another origin: without it large files do not travel, and all else does.
  const { session, folder } = await openSession(simulator, { onlyOrigins: [simulator.origin, simulator.tokenOrigin] });
  const local = localFolder();
  writeFileSync(join(local, 'large'), Buffer.alloc(6 << 20));
  const [store] = await session.origins();
  const large = await refusal(session.put(join(local, 'large'), `${folder}/large`));
  assert.equal(large.origin, store);
  assert.match(large.message, new RegExp(store));
  await session.write(`${folder}/small`, 'small');
  await session.close();
});

test('a path outside the granted folders does not exist for a session', async () => {
  const local = localFolder();
  for (const name of ['in', 'out']) mkdirSync(join(local, name));
  writeFileSync(join(local, 'in/file'), 'in');
  writeFileSync(join(local, 'out/secret'), 'out');
  symlinkSync('../out/secret', join(local, 'in/escape'));
  symlinkSync(join(local, 'out/secret'), join(local, 'in/absolute'));
  symlinkSync('../out', join(local, 'in/folder'));
  const { session, folder } = await openSession(simulator, { folders: [{ path: join(local, 'in'), access: 'read' }] });
  await session.put(join(local, 'in/file'), `${folder}/file`);
  for (const path of ['out/secret', 'in/escape', 'in/absolute', 'in/folder/secret', 'in/folder/../../out/secret']) {
    const error = await refusal(session.put(join(local, 'in', '..', path), `${folder}/stolen`));
    assert.equal(error.kind, 'permission-denied', path);
  }
  assert.equal(await session.exists(`${folder}/stolen`), false);
  // Granted for reading: nothing is written there.
  assert.equal((await refusal(session.get(`${folder}/file`, join(local, 'in/new')))).kind, 'permission-denied');
  assert.equal((await refusal(session.get(`${folder}/file`, join(local, 'out/new')))).kind, 'permission-denied');
  assert.deepEqual([readdirSync(join(local, 'in')).length, readdirSync(join(local, 'out')).length], [4, 1]);
  await session.close();

  // Without granted folders a call gets the one that it needs, and symlinks do not lead out of it either.
  const free = await openSession(simulator);
  await free.session.put(join(local, 'in/file'), `${free.folder}/file`);
  assert.equal((await refusal(free.session.put(join(local, 'in/escape'), `${free.folder}/stolen`))).kind, 'permission-denied');
  await free.session.get(`${free.folder}/file`, join(local, 'out/back'));
  assert.equal(readFileSync(join(local, 'out/back'), 'utf8'), 'in');
  await free.session.close();
});

test('no secret is shown', async () => {
  const secret = 'correct-horse-battery-staple';
  const options = new Options({ ...simulator.config, client_secret: secret });
  const error = await refusal(Session.open(options));
  assert.equal(error.kind, 'unauthenticated');
  const { session } = await openSession(simulator);
  const shown = [
    inspect(options, { depth: 9, showHidden: true }), String(options), JSON.stringify(options), `${options}`,
    inspect(error, { depth: 9, showHidden: true }), JSON.stringify(error), error.stack ?? '',
    inspect(session, { depth: 9, showHidden: true }), JSON.stringify(session),
  ].join('\n');
  for (const hidden of [secret, simulator.config.client_secret]) assert.ok(!shown.includes(hidden), shown);
  assert.match(shown, /client_secret/, 'names are shown');
  await session.close();

  // A secret may be in a file; a broken configuration is not quoted.
  const file = join(localFolder(), 'secret');
  writeFileSync(file, `${simulator.config.client_secret}\n`);
  await (await Session.open({ ...simulator.config, client_secret: file })).close();
  writeFileSync(file, `{"client_secret": "${secret}"`);
  assert.throws(() => Options.fromFile(file), (thrown) => thrown instanceof FirecrestError && !inspect(thrown).includes(secret));
});

test('a signal stops a transfer; the old target stays, and nothing is left over', async () => {
  const { session, folder } = await openSession(simulator);
  const local = localFolder();
  writeFileSync(join(local, 'large'), Buffer.alloc(32 << 20, 'x'));
  await session.write(`${folder}/large`, 'old');
  const controller = new AbortController();
  /** @param {import('aiida-firecrest-wasm').Progress} progress */
  const onProgress = ({ bytesDone }) => { if (bytesDone > 0) controller.abort(); };
  const error = await refusal(session.put(join(local, 'large'), `${folder}/large`, { signal: controller.signal, onProgress }));
  assert.equal(error.kind, 'cancelled');
  assert.equal(/** @type {Error} */ (error.cause).name, 'AbortError');
  assert.equal(Buffer.from(await session.read(`${folder}/large`)).toString(), 'old');
  assert.deepEqual((await session.list(folder, { hidden: true })).map(({ path }) => path), ['large']);
  // So does `false`, and a callback that throws tells why.
  assert.equal((await refusal(session.put(join(local, 'large'), `${folder}/large`, { onProgress: () => false }))).kind, 'cancelled');
  const thrown = await refusal(session.put(join(local, 'large'), `${folder}/large`, { onProgress: () => { throw new Error('mine'); } }));
  assert.equal(/** @type {Error} */ (thrown.cause).message, 'mine');
  // A call that waits for its turn, and one whose signal came too early, are not begun.
  const late = new AbortController();
  const [first, second] = [session.exec('sleep 1'), session.write(`${folder}/never`, 'x', { signal: late.signal })];
  late.abort();
  assert.equal((await refusal(second)).kind, 'cancelled');
  await first;
  assert.equal((await refusal(session.stat(folder, { signal: AbortSignal.abort() }))).kind, 'cancelled');
  assert.equal(await session.exists(`${folder}/never`), false);
  await session.close();
});

test('a server that never answers is given up', async () => {
  const silent = createServer((socket) => void socket.unref());
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (silent.address());
  const error = await refusal(Session.open({ ...simulator.config, url: `http://127.0.0.1:${port}` }, { signal: AbortSignal.timeout(1000) }));
  assert.equal(error.kind, 'cancelled');
  silent.close();
  silent.unref();
});

test('two sessions at once', async () => {
  const one = await openSession(simulator);
  const state = await one.session.state();
  const two = await Session.open(simulator.config, { state });
  const slow = one.session.exec('sleep 2; echo one');
  let done = false;
  void slow.then(() => (done = true));
  await two.write(`${one.folder}/two`, 'two');
  assert.equal(done, false, 'the second does not wait for the first');
  assert.equal(Buffer.from((await slow).stdout).toString(), 'one\n');
  assert.equal(await one.session.exists(`${one.folder}/two`), true);
  await Promise.all([one.session.close(), two.close()]);
});

test('the end of a session is a typed error, and touches no other', async () => {
  const { session, folder } = await openSession(simulator);
  const other = await openSession(simulator);
  const running = refusal(session.exec('sleep 60'));
  const waiting = refusal(session.stat(folder));
  setTimeout(() => void engineOf(session).worker.terminate(), 300);
  assert.deepEqual([(await running).kind, (await running).operation], ['session-ended', 'exec']);
  assert.equal((await waiting).kind, 'session-ended');
  assert.match((await running).message, /worker died/);
  assert.equal(session.ended, true);
  await session.close();

  const limited = await Session.open(simulator.config, { deadline: 2000 });
  const late = await refusal(limited.exec('sleep 60'));
  assert.deepEqual([late.kind, limited.ended], ['deadline', true]);
  assert.equal((await refusal(limited.stat(folder))).kind, 'session-ended');

  const small = await Session.open(simulator.config, { memory: 4 << 20 });
  assert.equal((await refusal(small.write(`${folder}/x`, Buffer.alloc(5 << 20)))).kind, 'memory');
  assert.equal(small.ended, true);

  const closing = refusal(other.session.exec('sleep 60'));
  setTimeout(() => void other.session.close(), 300);
  assert.equal((await closing).kind, 'session-ended');
});

test('no worker keeps the process alive', async () => {
  const program = `
    import { Session, Options } from 'aiida-firecrest-wasm';
    const closed = await Session.open(Options.fromFile(process.argv[1]));
    await closed.close();
    const open = await Session.open(Options.fromFile(process.argv[1]));
    console.log((await open.whoami()).name);`;
  const run = promisify(execFile)(process.execPath, ['--input-type=module', '-e', program, simulator.configFile], { cwd: here, timeout: 60_000 });
  assert.equal((await run).stdout.trim(), 'fireuser');
});

test('the examples run', async () => {
  const local = localFolder();
  mkdirSync(join(local, 'tree/sub'), { recursive: true });
  writeFileSync(join(local, 'tree/sub/file'), 'x');
  const env = { ...process.env, AIIDA_FIRECREST_CONFIG: simulator.configFile };
  const example = async (/** @type {string} */ name, /** @type {string[]} */ ...args) =>
    (await promisify(execFile)(process.execPath, [join(here, 'examples', name), ...args], { env, timeout: 120_000 })).stdout;
  const { workdir } = simulator.config;
  assert.match(await example('job.mjs', `${workdir}/job`), /hello from/);
  assert.match(await example('tree.mjs', join(local, 'tree'), `${workdir}/uploaded`), /1 files?/);
  assert.match(await example('list.mjs', workdir), /uploaded/);
  assert.ok(existsSync(join(local, 'tree')));
});
