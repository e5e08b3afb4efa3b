// Lists a folder: node list.mjs /scratch/me
// The configuration file is named by AIIDA_FIRECREST_CONFIG.
import { Options, Session } from 'aiida-firecrest-wasm';

const [path = '/'] = process.argv.slice(2);
const session = await Session.open(Options.fromFile(process.env.AIIDA_FIRECREST_CONFIG ?? 'firecrest.json'));
try {
  for (const { permissions, owner, size, modified, path: name } of await session.list(path)) {
    console.log(permissions.toString(8).padStart(4, '0'), owner, String(size).padStart(12), modified, name);
  }
} finally {
  await session.close();
}
