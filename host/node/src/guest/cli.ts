// wasi:cli, as far as Rust's standard library drags it in: no arguments, no environment, nothing to read; stderr's end is kept,
// because it says why the component panicked.
import { InputStream, OutputStream, closed } from './streams.js';

const KEPT = 4096;

export class Stderr extends OutputStream {
  #kept = Buffer.alloc(0);

  override room(): number {
    return KEPT;
  }

  override give(bytes: Uint8Array): void {
    this.#kept = Buffer.concat([this.#kept, bytes]).subarray(-KEPT);
  }

  override isFlushed(): boolean {
    return true;
  }

  clear(): void {
    this.#kept = Buffer.alloc(0);
  }

  /** Without Rust's advice to set a variable, which nobody here can. */
  text(): string {
    const lines = this.#kept.toString().split('\n').filter((line) => !line.startsWith('note: run with `RUST_BACKTRACE'));
    return lines.join(' ').replace(/\s+/g, ' ').trim();
  }
}

class Nowhere extends OutputStream {
  override room(): number {
    return KEPT;
  }
  override give(): void {}
  override isFlushed(): boolean {
    return true;
  }
}

class Nothing extends InputStream {
  override hasSome(): boolean {
    return true;
  }
  override take(): Uint8Array {
    throw closed();
  }
}

class TerminalInput {}
class TerminalOutput {}

export function cli(stderr: Stderr): Record<string, object> {
  return {
    'wasi:cli/environment': { getEnvironment: () => [] },
    'wasi:cli/exit': {
      exit(): never {
        throw new Error('the component called exit');
      },
    },
    'wasi:cli/stderr': { getStderr: () => stderr },
    'wasi:cli/stdin': { getStdin: () => new Nothing() },
    'wasi:cli/stdout': { getStdout: () => new Nowhere() },
    'wasi:cli/terminal-input': { TerminalInput },
    'wasi:cli/terminal-output': { TerminalOutput },
    'wasi:cli/terminal-stderr': { getTerminalStderr: () => undefined },
    'wasi:cli/terminal-stdin': { getTerminalStdin: () => undefined },
    'wasi:cli/terminal-stdout': { getTerminalStdout: () => undefined },
  };
}
