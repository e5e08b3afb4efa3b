// One request over node:http or node:https, with the time limits of wasi:http.
//
// | limit         | begins                                                            |
// |---------------|-------------------------------------------------------------------|
// | connect       | with the name's look-up; includes the TLS handshake               |
// | first byte    | with the connection; anew with every piece of the body sent       |
// | between bytes | with every piece of the answer's body                             |
//
// Nothing is repeated here, not even on a pooled connection that turns out dead: the component decides by the error code.
import * as http from 'node:http';
import * as https from 'node:https';
import { WINDOW, type FromIo, type HttpFailure, type OutgoingRequest, type ToIo } from '../protocol.js';
import { agentFor } from './agents.js';
import { failureOf } from './failures.js';

export type Reply = (message: FromIo, transfer?: ArrayBuffer[]) => void;

export class Exchange {
  #request: http.ClientRequest | undefined;
  #response: http.IncomingMessage | undefined;
  #timer: NodeJS.Timeout | undefined;
  #late: HttpFailure | undefined;
  #limits: OutgoingRequest;
  #done = false;
  #cut = false;
  #untaken = 0;

  constructor(
    private readonly id: number,
    asked: OutgoingRequest,
    private readonly reply: Reply,
  ) {
    this.#limits = asked;
    try {
      this.#request = this.#begin(asked);
    } catch (error) {
      this.#fail(failureOf(error));
    }
  }

  #begin({ tls, host, port, path, method, headers, caFiles }: OutgoingRequest): http.ClientRequest {
    const { agent, lookup } = agentFor(tls, caFiles);
    const merged: Record<string, string[]> = {};
    for (const [name, value] of headers) (merged[name] ??= []).push(value);
    const options: https.RequestOptions = {
      agent,
      lookup,
      host: host.replace(/^\[|\]$/g, ''),
      port,
      path,
      method,
      headers: Object.fromEntries(Object.entries(merged).map(([name, values]) => [name, values.length === 1 ? values[0] : values])),
    };
    const request = (tls ? https : http).request(options);
    this.#wait(this.#limits.connectMs, { tag: 'connection-timeout' });
    request.on('socket', (socket) => {
      const connected = (): void => this.#wait(this.#limits.firstByteMs, { tag: 'connection-read-timeout' });
      if (request.reusedSocket) connected();
      else socket.once(tls ? 'secureConnect' : 'connect', connected);
    });
    request.on('response', (response) => this.#answer(response));
    request.on('error', (error) => this.#fail(this.#late ? { code: this.#late, text: 'not in time' } : failureOf(error)));
    request.on('close', () => this.#fail({ code: { tag: 'connection-terminated' }, text: 'the connection was closed' }));
    // Together with the first piece of the body, if that comes at once.
    setImmediate(() => {
      if (!request.headersSent && !request.writableEnded && !request.destroyed) request.flushHeaders();
    });
    return request;
  }

  #answer(response: http.IncomingMessage): void {
    this.#response = response;
    const headers: [string, string][] = [];
    for (let i = 0; i + 1 < response.rawHeaders.length; i += 2) headers.push([response.rawHeaders[i]!, response.rawHeaders[i + 1]!]);
    this.reply({ type: 'head', id: this.id, status: response.statusCode ?? 0, headers });
    const alive = (): void => this.#wait(this.#limits.betweenBytesMs, { tag: 'connection-read-timeout' });
    alive();
    response.on('data', (piece: Buffer) => {
      alive();
      const bytes = new Uint8Array(piece);
      this.#untaken += bytes.length;
      if (this.#untaken >= WINDOW) {
        response.pause();
        // Not the server's fault.
        clearTimeout(this.#timer);
      }
      this.reply({ type: 'data', id: this.id, bytes }, [bytes.buffer]);
    });
    response.on('end', () => {
      if (!response.complete) return;
      this.#finish();
      this.reply({ type: 'end', id: this.id });
      // The server has answered before it had everything: nothing more of this request may follow on this connection.
      if (this.#cut || !this.#request?.writableEnded) this.#request?.destroy();
    });
    response.on('error', (error) => {
      const code = this.#late ?? { tag: 'HTTP-response-incomplete' };
      this.#fail({ code, text: this.#late ? 'timeout: the answer stopped' : `the answer broke off: ${error.message}` });
    });
  }

  handle(message: ToIo): void {
    const request = this.#request;
    if (!request || this.#done) return;
    switch (message.type) {
      case 'write':
        request.write(message.bytes, () => {
          if (!this.#response && request.socket && !request.socket.connecting) {
            this.#wait(this.#limits.firstByteMs, { tag: 'connection-read-timeout' });
          }
          if (!this.#done) this.reply({ type: 'wrote', id: this.id, bytes: message.bytes.length });
        });
        break;
      case 'finish':
        request.end();
        break;
      case 'cut':
        this.#cut = true;
        if (!this.#response) request.destroy();
        break;
      case 'credit':
        this.#untaken -= message.bytes;
        if (this.#untaken < WINDOW / 2 && this.#response?.isPaused()) {
          this.#wait(this.#limits.betweenBytesMs, { tag: 'connection-read-timeout' });
          this.#response.resume();
        }
        break;
      case 'abort':
        this.abort();
        break;
    }
  }

  abort(): void {
    this.#finish();
    this.#request?.destroy();
  }

  #wait(ms: number, code: HttpFailure): void {
    clearTimeout(this.#timer);
    if (this.#done) return;
    this.#timer = setTimeout(() => {
      this.#late = code;
      this.#request?.destroy(new Error('not in time'));
    }, Math.min(ms, 2 ** 31 - 1));
  }

  #fail({ code, text }: { code: HttpFailure; text: string }): void {
    if (this.#done) return;
    this.#finish();
    this.reply({ type: 'failed', id: this.id, code, text });
  }

  #finish(): void {
    this.#done = true;
    clearTimeout(this.#timer);
  }
}
