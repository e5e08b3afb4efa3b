// wasi:http's client side. The component's thread keeps each exchange's state; the requests' thread does the work.
import type { MessagePort } from 'node:worker_threads';
import { validateHeaderName, validateHeaderValue } from 'node:http';
import { Origin } from '../policy.js';
import { WINDOW, type FromIo, type HttpFailure, type ToIo } from '../protocol.js';
import { Pollable } from './poll.js';
import type { Secrets } from './secrets.js';
import { InputStream, OutputStream, Pieces, closed, failed, type IoError } from './streams.js';

/** Requests that are open at once: the option `max_io_allowed` ends at 1,000. */
const OPEN_REQUESTS = 1024;
const HEADER_BYTES = 128 << 10;
/** Where the component names no limit. */
const CONNECT_MS = 60_000;
const FIRST_BYTE_MS = 600_000;
const BETWEEN_BYTES_MS = 600_000;

/** They belong to the connection, which is ours. */
const FORBIDDEN = new Set(['connection', 'host', 'http2-settings', 'keep-alive', 'proxy-connection', 'te', 'transfer-encoding', 'upgrade']);

const dispose: typeof Symbol.dispose = Symbol.dispose ?? Symbol.for('dispose');

/** What requests go through: the allowed origins, the secrets, the requests' thread. */
export class Client {
  origins = new Set<string>();
  caFiles: string[] = [];
  /** Why the latest request got no answer, where that says more than its code. */
  lastFailure: string | undefined;
  /** The origin that the policy refused during this call. */
  refused: string | undefined;
  readonly #exchanges = new Map<number, Exchange>();
  #latest = 0;

  constructor(
    private readonly port: MessagePort,
    readonly secrets: Secrets,
  ) {}

  handle(message: FromIo): void {
    this.#exchanges.get(message.id)?.handle(message);
  }

  send(message: ToIo, transfer: ArrayBuffer[] = []): void {
    this.port.postMessage(message, transfer);
  }

  /** Policy first: a request to another origin is refused before a name is looked up. */
  begin(request: OutgoingRequest, options: RequestOptions | undefined): FutureIncomingResponse {
    for (const [name, value] of request.headers.list) {
      if (name.toLowerCase() === 'authorization') this.secrets.learnHeader(latin1(value));
    }
    const origin = this.#allowed(request);
    if (request.method === 'CONNECT') throw { tag: 'HTTP-request-method-invalid' };
    if (this.#exchanges.size >= OPEN_REQUESTS) {
      this.lastFailure = `more than ${OPEN_REQUESTS} requests are open`;
      throw { tag: 'connection-limit-reached' };
    }
    const exchange = new Exchange(++this.#latest, this);
    this.#exchanges.set(exchange.id, exchange);
    this.send({
      type: 'request',
      id: exchange.id,
      request: {
        method: request.method,
        tls: origin.tls,
        host: origin.host,
        port: origin.port,
        path: request.path || '/',
        headers: request.headers.list.map(([name, value]) => [name, latin1(value)]),
        connectMs: options?.connectMs ?? CONNECT_MS,
        firstByteMs: options?.firstByteMs ?? FIRST_BYTE_MS,
        betweenBytesMs: options?.betweenBytesMs ?? BETWEEN_BYTES_MS,
        caFiles: this.caFiles,
      },
    });
    request.outgoing.attach(exchange);
    return new FutureIncomingResponse(exchange);
  }

  #allowed(request: OutgoingRequest): Origin {
    let shown = 'an address without an origin';
    try {
      const origin = Origin.parse(`${request.scheme}://${request.authority}`);
      shown = origin.toString();
      if (this.origins.has(shown)) return origin;
    } catch {
      // No origin that could be on the list.
    }
    shown = this.secrets.hidden(shown);
    this.lastFailure = `${shown} is not an allowed origin`;
    if (shown.includes('://')) this.refused ??= shown;
    throw { tag: 'HTTP-request-denied' };
  }

  forget(id: number): void {
    this.#exchanges.delete(id);
  }

  /** A call has ended; what it left open is of no use to the next. */
  abandon(): void {
    for (const id of this.#exchanges.keys()) this.send({ type: 'abort', id });
    this.#exchanges.clear();
  }
}

/** One request and its answer. */
class Exchange {
  onTheWay = 0;
  bodyFinished = false;
  head: { status: number; headers: [string, string][] } | undefined;
  failure: { code: HttpFailure; text: string } | undefined;
  readonly pieces = new Pieces();
  ended = false;
  #released = false;

  constructor(
    readonly id: number,
    readonly client: Client,
  ) {}

  handle(message: FromIo): void {
    switch (message.type) {
      case 'wrote':
        this.onTheWay -= message.bytes;
        break;
      case 'head':
        this.head = message;
        this.client.lastFailure = undefined;
        break;
      case 'data':
        this.pieces.push(message.bytes);
        break;
      case 'end':
        this.ended = true;
        break;
      case 'failed':
        this.failure = message;
        this.client.lastFailure = message.text;
        break;
    }
    if (this.ended || this.failure) this.client.forget(this.id);
  }

  /** Whoever waited for the answer does not any more. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    if (!this.ended && !this.failure) this.client.send({ type: 'abort', id: this.id });
    this.client.forget(this.id);
  }
}

export class Fields {
  list: [string, Uint8Array][] = [];

  static fromList(entries: [string, Uint8Array][]): Fields {
    const fields = new Fields();
    let size = 0;
    for (const [name, value] of entries) {
      try {
        validateHeaderName(name);
        validateHeaderValue(name, latin1(value));
      } catch {
        throw { tag: 'invalid-syntax' };
      }
      size += name.length + value.length;
      if (FORBIDDEN.has(name.toLowerCase()) || size > HEADER_BYTES) throw { tag: 'forbidden' };
      fields.list.push([name, value]);
    }
    return fields;
  }

  entries(): [string, Uint8Array][] {
    return this.list;
  }
}

type Tagged = { tag: string; val?: string };

export class OutgoingRequest {
  method = 'GET';
  scheme = 'https';
  authority = '';
  path = '';
  readonly outgoing: OutgoingBody;
  #taken = false;

  constructor(readonly headers: Fields) {
    const length = headers.list.find(([name]) => name.toLowerCase() === 'content-length');
    this.outgoing = new OutgoingBody(length && Number(latin1(length[1])));
  }

  body(): OutgoingBody {
    if (this.#taken) throw undefined;
    this.#taken = true;
    return this.outgoing;
  }

  setMethod(method: Tagged): void {
    const name = method.tag === 'other' ? (method.val ?? '') : method.tag;
    if (!/^[A-Za-z-]+$/.test(name)) throw undefined;
    this.method = name.toUpperCase();
  }

  setPathWithQuery(path: string | undefined): void {
    // What Node would send as it is, and a server could read as a second request.
    if (path !== undefined && !/^[\x21-\x7e]*$/.test(path)) throw undefined;
    this.path = path ?? '';
  }

  setScheme(scheme: Tagged | undefined): void {
    this.scheme = scheme?.tag === 'HTTP' ? 'http' : scheme?.tag === 'other' ? (scheme.val ?? '').toLowerCase() : 'https';
  }

  setAuthority(authority: string | undefined): void {
    if (authority !== undefined && !/^[\x21-\x7e]*$/.test(authority)) throw undefined;
    this.authority = authority ?? '';
  }
}

export class OutgoingBody {
  exchange: Exchange | undefined;
  written = 0;
  #stream: BodyWriter | undefined;
  #finished = false;

  constructor(readonly length: number | undefined) {}

  attach(exchange: Exchange): void {
    this.exchange = exchange;
  }

  write(): OutputStream {
    if (this.#stream) throw undefined;
    this.#stream = new BodyWriter(this);
    return this.#stream;
  }

  static finish(body: OutgoingBody, trailers: unknown): void {
    if (trailers !== undefined) throw { tag: 'internal-error', val: 'no trailers are sent' };
    if (body.length !== undefined && body.written !== body.length) {
      body.exchange?.client.send({ type: 'cut', id: body.exchange.id });
      body.#finished = true;
      throw { tag: 'HTTP-request-body-size', val: BigInt(body.written) };
    }
    body.#finished = true;
    body.exchange?.client.send({ type: 'finish', id: body.exchange.id });
  }

  [dispose](): void {
    if (!this.#finished) this.exchange?.client.send({ type: 'cut', id: this.exchange.id });
  }
}

class BodyWriter extends OutputStream {
  constructor(private readonly body: OutgoingBody) {
    super();
  }

  override room(): number {
    const { exchange, length, written } = this.body;
    // Not handed over yet: nowhere to write to.
    if (!exchange) return 0;
    if (exchange.failure) throw failed(exchange.failure.text, { http: exchange.failure.code });
    if (exchange.ended) throw closed();
    const allowed = length === undefined ? WINDOW : Math.max(length - written, 1);
    return Math.max(Math.min(WINDOW - exchange.onTheWay, allowed), 0);
  }

  override give(bytes: Uint8Array): void {
    const { exchange, length } = this.body;
    if (!exchange) throw closed();
    if (length !== undefined && this.body.written + bytes.length > length) {
      throw failed('more than the length that was announced', { http: { tag: 'HTTP-request-body-size', val: BigInt(length) } });
    }
    this.body.written += bytes.length;
    exchange.onTheWay += bytes.length;
    const whole = bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice();
    exchange.client.send({ type: 'write', id: exchange.id, bytes: whole }, [whole.buffer as ArrayBuffer]);
  }

  override isFlushed(): boolean {
    return (this.body.exchange?.onTheWay ?? 0) === 0;
  }
}

export class FutureIncomingResponse {
  #taken = false;

  constructor(private readonly exchange: Exchange) {}

  subscribe(): Pollable {
    return new Pollable(() => this.exchange.head !== undefined || this.exchange.failure !== undefined);
  }

  get(): unknown {
    const { head, failure } = this.exchange;
    if (!head && !failure) return undefined;
    if (this.#taken) return { tag: 'err', val: undefined };
    this.#taken = true;
    if (!head) return { tag: 'ok', val: { tag: 'err', val: failure!.code } };
    return { tag: 'ok', val: { tag: 'ok', val: new IncomingResponse(this.exchange, head) } };
  }

  [dispose](): void {
    if (!this.#taken) this.exchange.release();
  }
}

export class IncomingResponse {
  #consumed = false;

  constructor(
    private readonly exchange: Exchange,
    private readonly head: { status: number; headers: [string, string][] },
  ) {}

  status(): number {
    return this.head.status;
  }

  headers(): Fields {
    const fields = new Fields();
    fields.list = this.head.headers.map(([name, value]) => [name, Buffer.from(value, 'latin1')]);
    return fields;
  }

  consume(): IncomingBody {
    if (this.#consumed) throw undefined;
    this.#consumed = true;
    return new IncomingBody(this.exchange);
  }

  [dispose](): void {
    if (!this.#consumed) this.exchange.release();
  }
}

export class IncomingBody {
  #taken = false;

  constructor(private readonly exchange: Exchange) {}

  stream(): InputStream {
    if (this.#taken) throw undefined;
    this.#taken = true;
    return new BodyReader(this.exchange);
  }

  [dispose](): void {
    this.exchange.release();
  }
}

class BodyReader extends InputStream {
  constructor(private readonly exchange: Exchange) {
    super();
  }

  override hasSome(): boolean {
    const { pieces, ended, failure } = this.exchange;
    return pieces.length > 0 || ended || failure !== undefined;
  }

  override take(max: number): Uint8Array {
    const { pieces, ended, failure, client, id } = this.exchange;
    const bytes = pieces.take(max);
    if (bytes.length > 0) {
      if (!ended && !failure) client.send({ type: 'credit', id, bytes: bytes.length });
    } else if (failure) {
      throw failed(failure.text, { http: failure.code });
    } else if (ended && max > 0) {
      throw closed();
    }
    return bytes;
  }
}

export class RequestOptions {
  connectMs: number | undefined;
  firstByteMs: number | undefined;
  betweenBytesMs: number | undefined;

  setConnectTimeout(duration: bigint | undefined): void {
    this.connectMs = milliseconds(duration);
  }

  setFirstByteTimeout(duration: bigint | undefined): void {
    this.firstByteMs = milliseconds(duration);
  }

  setBetweenBytesTimeout(duration: bigint | undefined): void {
    this.betweenBytesMs = milliseconds(duration);
  }
}

function milliseconds(duration: bigint | undefined): number | undefined {
  return duration === undefined ? undefined : Number(duration / 1_000_000n);
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

export function httpErrorCode(error: IoError): unknown {
  return error.code && 'http' in error.code ? error.code.http : undefined;
}
