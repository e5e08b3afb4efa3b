// Node's streams over a session's calls. A call that reads or writes a stream runs as long as the stream is open, and the session
// serves one call at a time: other calls wait for it.
import { Readable, Writable } from 'node:stream';
import { natural } from './convert.js';
import type { CallSettings, Engine, StreamEnd } from './engine.js';
import { invalid } from './errors.js';
import { WINDOW, type FromGuest, type Place } from './protocol.js';
import type { CallOptions } from './types.js';

/** Starts the call with this place in its arguments. */
export type Start = (place: Place, settings: CallSettings) => Promise<unknown>;

let latest = 0;

function settingsFor(id: number, end: StreamEnd, { signal, onProgress }: CallOptions, own: AbortController, begun?: () => void): CallSettings {
  // AbortSignal.any is younger than Node 20.
  const pass = (): void => own.abort(signal?.reason);
  if (signal?.aborted) pass();
  else signal?.addEventListener('abort', pass, { once: true });
  return {
    signal: own.signal,
    onProgress: onProgress && ((status) => onProgress(natural(status) as never)),
    streams: new Map([[id, end]]),
    ...(begun ? { begun } : {}),
  };
}

/** A file's bytes. */
export function readable(engine: Engine, start: Start, options: CallOptions): Readable {
  const id = ++latest;
  const waiting: Uint8Array[] = [];
  const own = new AbortController();
  let wanted = false;
  let over = false;

  const next = (): void => {
    while (wanted && waiting.length > 0) {
      const bytes = waiting.shift()!;
      engine.send({ type: 'credit', stream: id, bytes: bytes.length });
      wanted = stream.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    }
    if (over && waiting.length === 0) stream.push(null);
  };
  const stream = new Readable({
    highWaterMark: WINDOW,
    read() {
      wanted = true;
      next();
    },
    destroy(error, done) {
      if (!over) {
        own.abort();
        engine.send({ type: 'failed', stream: id, message: 'the reader has gone' });
      }
      done(error);
    },
  });
  const end: StreamEnd = {
    handle(message) {
      if (message.type !== 'chunk') return;
      waiting.push(message.bytes);
      next();
    },
  };
  start({ place: 'stream-out', id }, settingsFor(id, end, options, own)).then(
    () => {
      over = true;
      next();
    },
    (error: Error) => {
      over = true;
      stream.destroy(error);
    },
  );
  return stream;
}

/** A file to be, of so many bytes. It is there when the stream has finished. */
export function writable(engine: Engine, start: Start, size: number, options: CallOptions): Writable {
  const id = ++latest;
  const own = new AbortController();
  let onTheWay = 0;
  let given = 0;
  let over = false;
  let goOn: (() => void) | undefined;
  let begin!: () => void;
  const begun = new Promise<void>((resolve) => (begin = resolve));

  const end: StreamEnd = {
    handle(message: Extract<FromGuest, { stream: number }>) {
      if (message.type !== 'credit') return;
      onTheWay -= message.bytes;
      if (onTheWay < WINDOW) {
        goOn?.();
        goOn = undefined;
      }
    },
  };
  const answer = start({ place: 'stream-in', id, size }, settingsFor(id, end, options, own, () => begin()));
  const stream = new Writable({
    highWaterMark: WINDOW,
    write(chunk: Buffer, _encoding, done) {
      given += chunk.length;
      if (given > size) return done(invalid('size', `more bytes were written than the ${size} that were announced`));
      void begun.then(() => {
        // Its own, for it is given to another thread.
        const bytes = new Uint8Array(chunk);
        onTheWay += bytes.length;
        engine.send({ type: 'chunk', stream: id, bytes }, [bytes.buffer]);
        if (onTheWay < WINDOW) done();
        else goOn = done;
      });
    },
    final(done) {
      void begun.then(() => engine.send({ type: 'end', stream: id }));
      answer.then(() => done(), done);
    },
    destroy(error, done) {
      if (!over) {
        own.abort();
        engine.send({ type: 'failed', stream: id, message: 'the writer has gone' });
      }
      done(error);
    },
  });
  answer.then(
    () => (over = true),
    (error: Error) => {
      over = true;
      stream.destroy(error);
    },
  );
  return stream;
}
