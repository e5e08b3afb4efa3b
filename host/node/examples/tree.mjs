// Uploads a folder, with progress: node tree.mjs /data/inputs /scratch/me/run1
import { resolve } from 'node:path';
import { Options, Session } from 'aiida-firecrest-wasm';

const [local, remote] = process.argv.slice(2);
if (!local || !remote) throw new Error('usage: node tree.mjs LOCAL REMOTE');
const session = await Session.open(Options.fromFile(process.env.AIIDA_FIRECREST_CONFIG ?? 'firecrest.json'));
try {
  const done = await session.put(resolve(local), remote, {
    parents: true,
    onProgress: ({ bytesDone, bytesTotal }) => process.stderr.write(`\r${bytesDone} of ${bytesTotal ?? '?'} bytes`),
  });
  console.log(`\n${done.files} files, ${done.directories} directories, ${done.bytes} bytes, verified by ${done.verified}`);
} finally {
  await session.close();
}
