// The ends of a session's Readable and Writable in the component's thread.
import type { MessagePort } from 'node:worker_threads';
import { WINDOW, type FromGuest, type ToGuest } from '../protocol.js';
import { InputStream, OutputStream, Pieces, closed, failed } from './streams.js';

/** The streams of the call that runs. What they say goes where all of a call's messages go, which the session hears while this thread blocks. */
export class HostStreams {
  readonly #open = new Map<number, FromHost | ToHost>();

  constructor(private readonly port: MessagePort) {}

  input(id: number): InputStream {
    const stream = new FromHost(id, this.port);
    this.#open.set(id, stream);
    return stream;
  }

  output(id: number): OutputStream {
    const stream = new ToHost(id, this.port);
    this.#open.set(id, stream);
    return stream;
  }

  /** Takes what the session sends; what is for a stream of an earlier call is dropped. */
  handle(message: ToGuest): void {
    this.#open.get(message.stream)?.handle(message);
  }

  /** A call has ended, and its streams with it. */
  clear(): void {
    this.#open.clear();
  }
}

class FromHost extends InputStream {
  readonly #pieces = new Pieces();
  #ended = false;
  #failure: string | undefined;

  constructor(
    private readonly id: number,
    private readonly port: MessagePort,
  ) {
    super();
  }

  handle(message: ToGuest): void {
    if (message.type === 'chunk') this.#pieces.push(message.bytes);
    if (message.type === 'end') this.#ended = true;
    if (message.type === 'failed') this.#failure = message.message;
  }

  override hasSome(): boolean {
    return this.#pieces.length > 0 || this.#ended || this.#failure !== undefined;
  }

  override take(max: number): Uint8Array {
    if (this.#failure !== undefined) throw failed(this.#failure);
    const bytes = this.#pieces.take(max);
    if (bytes.length > 0) this.port.postMessage({ type: 'credit', stream: this.id, bytes: bytes.length } satisfies FromGuest);
    else if (this.#ended && max > 0) throw closed();
    return bytes;
  }
}

class ToHost extends OutputStream {
  #onTheWay = 0;
  #failure: string | undefined;

  constructor(
    private readonly id: number,
    private readonly port: MessagePort,
  ) {
    super();
  }

  handle(message: ToGuest): void {
    if (message.type === 'credit') this.#onTheWay -= message.bytes;
    if (message.type === 'failed') this.#failure = message.message;
  }

  override room(): number {
    if (this.#failure !== undefined) throw failed(this.#failure);
    return Math.max(WINDOW - this.#onTheWay, 0);
  }

  override give(bytes: Uint8Array): void {
    this.#onTheWay += bytes.length;
    this.port.postMessage({ type: 'chunk', stream: this.id, bytes } satisfies FromGuest);
  }

  override isFlushed(): boolean {
    // What the session has is its own matter: a reader that pauses must not stall the end of the call.
    return true;
  }
}
