// The transpiled component's core modules: compiled once for the process, then shared by all workers.
import { readFile } from 'node:fs/promises';

const FILES = ['aiida_firecrest.core.wasm', 'aiida_firecrest.core2.wasm', 'aiida_firecrest.core3.wasm'];
const PAGE = 65_536;

const compiled = new Map<number, Promise<Record<string, WebAssembly.Module>>>();

/** The modules, with a memory of at most so many bytes. */
export function modules(memory: number): Promise<Record<string, WebAssembly.Module>> {
  const pages = Math.max(1, Math.min(PAGE, Math.floor(memory / PAGE)));
  let found = compiled.get(pages);
  if (!found) {
    found = compile(pages);
    compiled.set(pages, found);
    found.catch(() => compiled.delete(pages));
  }
  return found;
}

async function compile(pages: number): Promise<Record<string, WebAssembly.Module>> {
  const made = FILES.map(async (name) => {
    const bytes = await readFile(new URL(`./component/${name}`, import.meta.url));
    return [name, await WebAssembly.compile(withMaximum(bytes, pages))] as const;
  });
  return Object.fromEntries(await Promise.all(made));
}

const MEMORY_SECTION = 5;

/**
 * The same module, whose own memory ends at `pages`. A JavaScript host has no other way to limit a memory that a module makes for
 * itself: growth beyond it fails in the module as on a small machine.
 */
export function withMaximum(module: Uint8Array, pages: number): Uint8Array<ArrayBuffer> {
  for (let at = 8; at < module.length; ) {
    const size = number(module, at + 1);
    if (module[at] === MEMORY_SECTION) {
      const count = number(module, size.next);
      const flags = module[count.next]!;
      const least = number(module, count.next + 1);
      // One memory, not shared, of 32 bits: what a Rust component has.
      if (count.value !== 1 || flags > 1) throw new Error('the module has another memory than expected');
      const body = [1, 1, ...leb(least.value), ...leb(Math.max(pages, least.value))];
      const section = Uint8Array.from([MEMORY_SECTION, ...leb(body.length), ...body]);
      return Uint8Array.from(Buffer.concat([module.subarray(0, at), section, module.subarray(size.next + size.value)]));
    }
    at = size.next + size.value;
  }
  return Uint8Array.from(module);
}

function number(bytes: Uint8Array, at: number): { value: number; next: number } {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++]!;
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return { value, next: at };
  }
}

function leb(value: number): number[] {
  const bytes: number[] = [];
  do {
    bytes.push((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
    value = Math.floor(value / 128);
  } while (value > 0);
  return bytes;
}
