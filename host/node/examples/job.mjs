// Runs a job and prints what it wrote: node job.mjs /scratch/me/run1
// Ctrl-C stops the wait; the job is then cancelled.
import { FirecrestError, Options, Session } from 'aiida-firecrest-wasm';

const [folder = '/tmp/job'] = process.argv.slice(2);
const options = Options.fromFile(process.env.AIIDA_FIRECREST_CONFIG ?? 'firecrest.json');
const interrupt = new AbortController();
process.once('SIGINT', () => interrupt.abort());

const session = await Session.open(options);
try {
  await session.mkdir(folder, { parents: true, existOk: true });
  const { defaultAccount } = await session.whoami();
  const script = await session.script({
    jobName: 'from-node',
    jobResource: { numMachines: 1, numMpiprocsPerMachine: 1 },
    maxWallclockSeconds: 300,
    ...(defaultAccount && { account: defaultAccount }),
    codesInfo: [{ cmdlineParams: ['sh', '-c', 'echo hello from $(hostname)'], stdoutName: 'hello.txt' }],
  });
  const id = await session.submit({ script, workingDirectory: folder });
  console.log('job', id);
  try {
    const { jobs } = await session.wait(id, { signal: interrupt.signal, timeout: 600_000 });
    console.log('state', jobs[0]?.rawState, 'exit', jobs[0]?.exitStatus);
  } catch (error) {
    if (error instanceof FirecrestError && error.kind === 'cancelled') await session.cancel(id);
    throw error;
  }
  process.stdout.write(await session.read(`${folder}/hello.txt`));
} finally {
  await session.close();
}
