// wasi:io/streams and wasi:io/error: the base of files', requests' and the session's streams.
import { inboxDrain, Pollable } from './poll.js';

/** What went wrong with a stream, and how wasi:http or wasi:filesystem call it. */
export class IoError {
  constructor(
    readonly text: string,
    readonly code?: { http: unknown } | { filesystem: string },
  ) {}

  toDebugString(): string {
    return this.text;
  }
}

export function closed(): { tag: 'closed' } {
  return { tag: 'closed' };
}

export function failed(text: string, code?: IoError['code']): { tag: 'last-operation-failed'; val: IoError } {
  return { tag: 'last-operation-failed', val: new IoError(text, code) };
}

/** Bytes for the component. */
export abstract class InputStream {
  /** At most `max` bytes that belong to the caller; none: not yet. Throws when ended or failed. */
  abstract take(max: number): Uint8Array;
  abstract hasSome(): boolean;

  read(length: bigint): Uint8Array {
    inboxDrain();
    return this.take(clamp(length));
  }

  subscribe(): Pollable {
    return new Pollable(() => this.hasSome());
  }
}

/** Bytes from the component. */
export abstract class OutputStream {
  /** How many bytes it takes now. Throws when closed or failed. */
  abstract room(): number;
  /** Takes bytes that nobody else will touch. */
  abstract give(bytes: Uint8Array): void;
  /** All that was given has gone. */
  abstract isFlushed(): boolean;

  #flushing = false;

  checkWrite(): bigint {
    inboxDrain();
    const room = this.room();
    if (this.#flushing && !this.isFlushed()) return 0n;
    this.#flushing = false;
    return BigInt(room);
  }

  write(contents: Uint8Array): void {
    if (BigInt(contents.length) > this.checkWrite()) throw new Error('more was written than there was room for');
    this.give(contents.slice());
  }

  flush(): void {
    inboxDrain();
    this.room();
    this.#flushing = true;
  }

  blockingFlush(): void {
    this.flush();
    this.subscribe().block();
    this.checkWrite();
  }

  /** Moves bytes without a way through the component's memory. */
  splice(from: InputStream, length: bigint): bigint {
    const room = Math.min(Number(this.checkWrite()), clamp(length));
    if (room === 0) return 0n;
    const bytes = from.take(room);
    // Before they are given away, and their buffer to another thread.
    const moved = BigInt(bytes.length);
    if (moved > 0n) this.give(bytes);
    return moved;
  }

  subscribe(): Pollable {
    return new Pollable(() => {
      try {
        const room = this.room();
        return this.#flushing ? this.isFlushed() : room > 0;
      } catch {
        return true;
      }
    });
  }
}

/** More in one piece would only sit in memory. */
const LARGEST_PIECE = 1 << 20;

function clamp(length: bigint): number {
  return length > BigInt(LARGEST_PIECE) ? LARGEST_PIECE : Number(length);
}

/** Pieces that have arrived and were not taken yet. */
export class Pieces {
  readonly #pieces: Uint8Array[] = [];
  length = 0;

  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#pieces.push(bytes);
    this.length += bytes.length;
  }

  take(max: number): Uint8Array {
    const first = this.#pieces[0];
    if (first === undefined || max === 0) return new Uint8Array();
    if (first.length <= max) {
      this.#pieces.shift();
      this.length -= first.length;
      return first;
    }
    this.#pieces[0] = first.subarray(max);
    this.length -= max;
    return first.slice(0, max);
  }
}
