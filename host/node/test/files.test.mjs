import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, readdirSync, readlinkSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { after, before, test } from 'node:test';
import { FirecrestError, Session } from 'aiida-firecrest-wasm';
import { localFolder, openSession, refusal, startSimulator } from './simulator.mjs';

/** @type {Session} */ let session;
/** @type {string} */ let folder;
/** @type {import('./simulator.mjs').Simulator} */ let simulator;

before(async () => {
  simulator = await startSimulator();
  ({ session, folder } = await openSession(simulator));
});
after(() => session?.close());

/** @param {number} length */
function bytes(length) {
  const made = Buffer.alloc(length);
  for (let i = 0; i + 4 <= length; i += 4) made.writeUInt32LE(Math.imul(i, 2654435761) >>> 0, i);
  return made;
}

/** @param {Uint8Array} data */
const sha256 = (data) => createHash('sha256').update(data).digest('hex');

test('who I am, and where files go', async () => {
  const identity = await session.whoami();
  assert.equal(identity.name, 'fireuser');
  assert.equal(typeof identity.uid, 'number');
  assert.ok(session.allowedOrigins.includes(simulator.origin));
  assert.equal((await session.origins()).length, 1);
});

test('what a killed process left goes by its mark', async () => {
  assert.match(await session.mark(), /^[0-9a-f]{16}$/);
  const mark = '0123456789abcdef';
  await session.write(`${folder}/.aiida-firecrest-${mark}-00000001.tar`, 'left');
  await session.write(`${folder}/.aiida-firecrest-fedcba9876543210-00000001.tar`, "another's");
  assert.equal(await session.tidy(mark, [`${folder}/target`]), 1);
  assert.deepEqual(
    (await session.list(folder, { hidden: true })).map(({ path }) => path).filter((path) => path.startsWith('.aiida')),
    ['.aiida-firecrest-fedcba9876543210-00000001.tar'],
  );
  await session.remove(`${folder}/.aiida-firecrest-fedcba9876543210-00000001.tar`);
  assert.equal((await refusal(session.tidy('*', []))).kind, 'invalid-argument');
});

test('a listing has attributes', async () => {
  await session.mkdir(`${folder}/list/sub`, { parents: true });
  await session.write(`${folder}/list/a.txt`, 'hello', { mode: 0o640 });
  await session.symlink('a.txt', `${folder}/list/link`);
  const entries = (await session.list(`${folder}/list`)).sort((a, b) => (a.path < b.path ? -1 : 1));
  assert.deepEqual(
    entries.map(({ path, kind, linkTarget }) => [path, kind, linkTarget]),
    [['a.txt', 'regular', undefined], ['link', 'symlink', 'a.txt'], ['sub', 'directory', undefined]],
  );
  assert.deepEqual([entries[0].size, entries[0].permissions], [5, 0o640]);
  assert.deepEqual(await session.glob(`${folder}/list/*.txt`), [`${folder}/list/a.txt`]);
  assert.equal(await session.readLink(`${folder}/list/link`), 'a.txt');
});

test('stat has numbers and dates, and a missing path is a typed error', async () => {
  await session.write(`${folder}/stat`, 'four');
  const stat = await session.stat(`${folder}/stat`);
  assert.deepEqual([stat.kind, stat.size, stat.mode & 0o170000], ['regular', 4, 0o100000]);
  assert.ok(stat.modified instanceof Date && Math.abs(Date.now() - stat.modified.getTime()) < 3_600_000);
  assert.equal(typeof stat.inode, 'bigint');

  const error = await refusal(session.stat(`${folder}/missing`));
  assert.ok(error instanceof FirecrestError);
  assert.deepEqual([error.kind, error.operation, error.path, error.status], ['not-found', 'stat', `${folder}/missing`, 404]);
  assert.ok(error.requestId && error.serverMessage);
  assert.match(error.stack ?? '', /files\.test\.mjs/, 'the stack leads to the caller');
  assert.equal(await session.exists(`${folder}/missing`), false);
});

test('every small change', async () => {
  const base = `${folder}/changes`;
  await session.mkdir(base);
  assert.equal((await refusal(session.mkdir(base))).kind, 'already-exists');
  await session.mkdir(base, { existOk: true });
  await session.write(`${base}/a`, new Uint8Array([1, 2, 3, 4]));
  await session.chmod(`${base}/a`, 0o600);
  assert.equal((await session.lstat(`${base}/a`)).mode & 0o777, 0o600);
  await session.rename(`${base}/a`, `${base}/b`);
  await session.copy(`${base}/b`, `${base}/c`);
  assert.deepEqual([...(await session.read(`${base}/c`, { offset: 1, length: 2 }))], [2, 3]);
  assert.equal(await session.checksum(`${base}/c`), sha256(Buffer.from([1, 2, 3, 4])));
  await session.compress([`${base}/b`, `${base}/c`], `${base}/archive.tar.gz`, { root: base });
  await session.extract(`${base}/archive.tar.gz`, `${base}/out`);
  assert.equal((await session.list(`${base}/out`)).length, 2);
  const me = await session.stat(base);
  await session.chown(`${base}/c`, { uid: me.uid });
  await session.remove(`${base}/c`, { kind: 'regular' });
  assert.equal((await refusal(session.remove(base))).kind, 'not-empty');
  await session.removeTree(base);
  assert.equal(await session.exists(base), false);
});

test('a file and an empty file, there and back, with their modes', async () => {
  const local = localFolder();
  for (const [name, content, mode] of /** @type {const} */ ([['run.sh', '#!/bin/sh\n', 0o755], ['empty', '', 0o644], ['Größe α & Ω', 'x', 0o600]])) {
    writeFileSync(join(local, name), content);
    chmodSync(join(local, name), mode);
    const put = await session.put(join(local, name), `${folder}/${name}`);
    assert.deepEqual([put.files, put.bytes], [1, content.length]);
    await session.get(`${folder}/${name}`, join(local, `${name}.back`));
    assert.equal(readFileSync(join(local, `${name}.back`), 'utf8'), content);
    if (mode & 0o100) assert.equal(statSync(join(local, `${name}.back`)).mode & 0o777, mode);
  }
  assert.equal((await session.stat(`${folder}/run.sh`)).mode & 0o777, 0o755);
});

test('a tree, there and back, with modes, links and empty folders', async () => {
  const local = localFolder();
  mkdirSync(join(local, 'tree/sub/empty'), { recursive: true });
  writeFileSync(join(local, 'tree/a.txt'), 'hello');
  writeFileSync(join(local, 'tree/sub/run.sh'), '#!/bin/sh\n', { mode: 0o750 });
  symlinkSync('../a.txt', join(local, 'tree/sub/link'));
  const put = await session.put(join(local, 'tree'), `${folder}/tree`, { dereference: false });
  assert.deepEqual([put.files, put.directories, put.bytes], [2, 3, 15]);

  const got = await session.get(`${folder}/tree`, join(local, 'back'), { dereference: false });
  assert.deepEqual([got.files, got.directories], [2, 3]);
  assert.equal(readFileSync(join(local, 'back/a.txt'), 'utf8'), 'hello');
  assert.equal(statSync(join(local, 'back/sub/run.sh')).mode & 0o777, 0o750);
  assert.equal(readlinkSync(join(local, 'back/sub/link')), '../a.txt');
  assert.ok(lstatSync(join(local, 'back/sub/empty')).isDirectory());
  // Times come along: what was made just now is as old as it was there.
  assert.equal(Math.floor(statSync(join(local, 'back/a.txt')).mtimeMs / 1000), Math.floor(statSync(join(local, 'tree/a.txt')).mtimeMs / 1000));

  const skipped = await session.put(join(local, 'tree/a.txt'), `${folder}/tree/a.txt`, { overwrite: 'skip' });
  assert.deepEqual([skipped.files, skipped.skipped], [0, 1]);
  assert.equal((await refusal(session.get(`${folder}/tree/a.txt`, join(local, 'back/a.txt'), { overwrite: 'fail' }))).kind, 'already-exists');
  assert.deepEqual(readdirSync(join(local, 'back')).sort(), ['a.txt', 'sub'], 'nothing is left over');
});

test('a large file through the object store, with progress', async () => {
  const local = localFolder();
  const content = bytes(8 << 20);
  writeFileSync(join(local, 'large'), content);
  /** @type {import('aiida-firecrest-wasm').Progress[]} */ const told = [];
  const put = await session.put(join(local, 'large'), `${folder}/large`, { onProgress: (progress) => void told.push(progress) });
  assert.deepEqual([put.bytes, put.verified], [8 << 20, 'checksum']);
  assert.ok(told.length >= 2);
  assert.deepEqual([told.at(-1)?.operation, told.at(-1)?.bytesDone, told.at(-1)?.bytesTotal], ['put', 8 << 20, 8 << 20]);
  await session.get(`${folder}/large`, join(local, 'back'));
  assert.equal(sha256(readFileSync(join(local, 'back'))), sha256(content));
  assert.equal((await refusal(session.read(`${folder}/large`))).kind, 'too-large');
});

test('streams of any size, both ways', async () => {
  for (const size of [0, 5, 6 << 20]) {
    const content = bytes(size);
    const pieces = Readable.from((function* () { for (let at = 0; at < size; at += 300_000) yield content.subarray(at, at + 300_000); })(), { objectMode: false });
    await pipeline(pieces, session.writeStream(`${folder}/stream`, size, { mode: 0o600 }));
    const stream = session.readStream(`${folder}/stream`);
    const got = Buffer.concat(await stream.toArray());
    assert.equal(sha256(got), sha256(content), `${size} bytes`);
  }
  const piece = await session.readStream(`${folder}/stream`, { offset: 8, length: 4 }).toArray();
  assert.deepEqual(Buffer.concat(piece), bytes(16).subarray(8, 12));
});

test('a stream that is too short or too long leaves the old file', async () => {
  await session.write(`${folder}/kept`, 'old');
  const short = await refusal(pipeline(Readable.from([Buffer.from('abc')]), session.writeStream(`${folder}/kept`, 5)));
  assert.ok(short instanceof FirecrestError);
  const long = await refusal(pipeline(Readable.from([Buffer.from('abc')]), session.writeStream(`${folder}/kept`, 2)));
  assert.equal(long.kind, 'invalid-argument');
  assert.equal(Buffer.from(await session.read(`${folder}/kept`)).toString(), 'old');
});

test('a reader that goes away frees the session', async () => {
  await pipeline(Readable.from([bytes(6 << 20)]), session.writeStream(`${folder}/left`, 6 << 20));
  for await (const piece of session.readStream(`${folder}/left`)) {
    assert.ok(piece.length > 0);
    break;
  }
  assert.equal((await session.stat(`${folder}/left`)).size, 6 << 20);
  const missing = session.readStream(`${folder}/nowhere`);
  assert.equal((await refusal(missing.toArray())).kind, 'not-found');
});

test('copying to another session of the same worker', async () => {
  await session.write(`${folder}/from`, 'across');
  const peer = await session.openPeer(simulator.config, { state: await session.state() });
  const done = await session.copyTo(`${folder}/from`, peer, `${folder}/to`);
  assert.equal(done.files, 1);
  assert.equal(Buffer.from(await session.read(`${folder}/to`)).toString(), 'across');
});

test('arguments of a wrong type are named, and end nothing', async () => {
  const wrong = /** @type {any} */ (session);
  for (const [call, subject] of /** @type {[() => Promise<unknown>, string][]} */ ([
    [() => wrong.stat(5), 'path'],
    [() => wrong.stat('/\ud800'), 'path'],
    [() => wrong.chmod('/x', -1), 'mode'],
    [() => wrong.list('/x', { recursive: 'yes' }), 'recursive'],
    [() => wrong.put('/x', '/y', { overwrite: 'maybe' }), 'overwrite'],
    [() => wrong.read('/x', { offset: 1.5 }), 'offset'],
  ])) {
    const error = await refusal(call());
    assert.deepEqual([error.kind, error.subject], ['invalid-argument', subject]);
  }
  assert.equal((await refusal(session.put('relative', '/y'))).kind, 'policy');
  assert.equal((await refusal(session.put('/no/such/file', `${folder}/x`))).kind, 'not-found');
  assert.ok(!existsSync('/no/such/file'));
  assert.equal(session.ended, false);
});
