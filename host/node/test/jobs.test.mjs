import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Session, check, describe, describeOptions, script } from 'aiida-firecrest-wasm';
import { openSession, refusal, startSimulator } from './simulator.mjs';

/** @type {Session} */ let session;
/** @type {string} */ let folder;
/** @type {import('./simulator.mjs').Simulator} */ let simulator;

before(async () => {
  simulator = await startSimulator('--no-job-lag');
  ({ session, folder } = await openSession(simulator));
});
after(() => session?.close());

/** @param {string} line */
const job = (line) => ({ script: `#!/bin/bash\n${line}\n`, workingDirectory: folder, account: 'staff' });

test('what the component says of itself, and of the server', async () => {
  assert.equal((await describe()).name, 'aiida-firecrest');
  const options = await describeOptions();
  assert.equal(options.find(({ name }) => name === 'client_secret')?.kind, 'secret');
  const server = await check(simulator.config);
  assert.deepEqual([server.version, server.user.name], ['2.5.7', 'fireuser']);
  assert.equal(typeof server.systems[0].uploadLimit, 'number');
});

test('a job from its template to its end', async () => {
  const template = {
    jobName: 'from-node',
    account: 'staff',
    jobResource: { numMachines: 1, numMpiprocsPerMachine: 1 },
    maxWallclockSeconds: 60,
    jobEnvironment: { GREETING: 'hello' },
    schedOutputPath: 'job.out',
    codesInfo: [{ cmdlineParams: ['printenv', 'GREETING'], stdoutName: 'greeting' }],
  };
  const text = await session.script(template);
  assert.equal(text, await script(template), 'with a session and without');
  assert.match(text, /#SBATCH --job-name="from-node"/);

  const id = await session.submit({ script: text, workingDirectory: folder });
  const { jobs, missing } = await session.wait(id, { timeout: 60_000 });
  assert.deepEqual(missing, []);
  assert.deepEqual([jobs[0].jobId, jobs[0].jobState, jobs[0].exitStatus], [id, 'done', 0]);
  assert.ok(jobs[0].finishTime instanceof Date);
  assert.equal(Buffer.from(await session.read(`${folder}/greeting`)).toString(), 'hello\n');
  assert.match((await session.details(id)).script ?? '', /printenv/);
  assert.ok((await session.jobs()).jobs.some(({ jobId }) => jobId === id));
});

test('a script on the cluster, cancelled', async () => {
  await session.write(`${folder}/long.sh`, '#!/bin/bash\n#SBATCH --account=staff\nsleep 300\n');
  const id = await session.submit({ scriptPath: `${folder}/long.sh`, workingDirectory: folder });
  const started = await session.wait([id], { until: 'started', timeout: 30_000 });
  assert.equal(started.jobs[0].jobState, 'running');
  assert.deepEqual(await session.cancel([id, '424242']), [{ id, outcome: 'cancelled' }, { id: '424242', outcome: 'not-found' }]);
  const ended = await session.wait(id, { timeout: 30_000 });
  assert.deepEqual([ended.jobs[0].jobState, ended.jobs[0].rawState], ['done', 'CANCELLED']);
  assert.deepEqual((await session.cancel(id)).map(({ outcome }) => outcome), ['already-finished']);
});

test('a command', async () => {
  const { exitCode, stdout, stderr } = await session.exec({ line: 'cat; echo "$WORD" >&2; exit 3', stdin: 'in', environment: { WORD: 'err' } });
  assert.deepEqual([exitCode, Buffer.from(stdout).toString(), Buffer.from(stderr).toString()], [3, 'in', 'err\n']);
});

test('partitions, nodes, reservations, unknown jobs', async () => {
  assert.ok((await session.partitions()).some(({ state }) => state === 'UP'));
  assert.equal(typeof (await session.nodes())[0].cpus, 'number');
  assert.ok(Array.isArray(await session.reservations()));
  assert.deepEqual((await session.jobs(['424242'])).missing, ['424242']);
  const error = await refusal(session.jobs(['4; rm']));
  assert.deepEqual([error.kind, error.job], ['invalid-argument', '4; rm']);
  assert.equal((await refusal(session.details('424242'))).kind, 'not-found');
});

test('the event loop runs while a session waits', async () => {
  const id = await session.submit(job('sleep 300'));
  let ticks = 0;
  const timer = setInterval(() => (ticks += 1), 10);
  const listing = await session.wait(id, { timeout: 1500 });
  clearInterval(timer);
  assert.notEqual(listing.jobs[0]?.jobState, 'done');
  assert.ok(ticks > 10, `${ticks} ticks in 1.5 s`);

  // And a signal ends a wait; the session goes on.
  const controller = new AbortController();
  const waiting = session.wait(id, { signal: controller.signal, onProgress: () => controller.abort(new Error('enough')) });
  const error = await refusal(waiting);
  assert.deepEqual([error.kind, error.operation, /** @type {Error} */ (error.cause).message], ['cancelled', 'wait', 'enough']);
  assert.deepEqual((await session.cancel(id)).map(({ outcome }) => outcome), ['cancelled']);
});
