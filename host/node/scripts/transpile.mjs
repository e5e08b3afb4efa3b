// Makes JavaScript and TypeScript types of the component, into dist/component. The component is built by cargo; AIIDA_FIRECREST_WASM names another one.
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { transpileBytes } from '@bytecodealliance/jco-transpile';

const here = dirname(dirname(fileURLToPath(import.meta.url)));
const target = resolve(here, '../..', process.env.CARGO_TARGET_DIR ?? 'target');
const out = join(here, 'dist', 'component');

/** Where cargo leaves it: from the build of the host, or from a build of the component alone. */
const places = process.env.AIIDA_FIRECREST_WASM
  ? [process.env.AIIDA_FIRECREST_WASM]
  : ['component/wasm32-wasip2/release', 'wasm32-wasip2/release'].map((folder) => join(target, folder, 'aiida_firecrest.wasm'));

const component = await (async () => {
  for (const place of places) {
    try {
      return await readFile(place);
    } catch (error) {
      if (error.code !== 'ENOENT') throw error;
    }
  }
  console.error(`no component at ${places.join(' nor ')}: cargo build --release -p aiida-firecrest --target wasm32-wasip2`);
  return process.exit(1);
})();

// Instantiated by us: so the imports are ours, and each worker gets the modules that were compiled once. No WASI shim: see README.md.
const { files } = await transpileBytes(component, {
  name: 'aiida_firecrest',
  instantiation: 'async',
  wasiShim: false,
  nodejsCompat: false,
  base64Cutoff: 0,
  namespacedExports: false,
  strict: true,
});
await rm(out, { recursive: true, force: true });
for (const [name, bytes] of Object.entries(files)) {
  const path = join(out, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, bytes);
}
// The package carries the repository's licence.
await copyFile(join(here, '../../LICENSE'), join(here, 'LICENSE'));
console.log(`dist/component: ${Object.keys(files).length} files from ${component.length} bytes`);
