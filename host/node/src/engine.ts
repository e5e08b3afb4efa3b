// A session's worker, seen from the outside: calls one after the other, stopped by a signal, ended by a fault, a deadline or close().
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import { modules } from './component.js';
import { FirecrestError, type ErrorKind } from './errors.js';
import type { Folder } from './policy.js';
import { SHARED_BYTES, STOP, type Attach, type Call, type ContractError, type FromGuest, type GuestData, type ToGuest } from './protocol.js';

/** What a call is allowed and told. */
export interface CallSettings {
  signal?: AbortSignal | undefined;
  onProgress?: ((status: unknown) => unknown) | undefined;
  folders?: Folder[];
  open?: Call['open'];
  /** Nothing is changed by it, so nobody has to wait for its end once it is stopped. */
  harmless?: boolean;
  streams?: Map<number, StreamEnd>;
  /** The call's turn has come: what streams carry may be sent from now on. */
  begun?: () => void;
}

/** The session's end of a stream. */
export interface StreamEnd {
  handle(message: Extract<FromGuest, { stream: number }>): void;
}

interface Running {
  call: Call;
  settings: CallSettings;
  resolve(value: unknown): void;
  reject(error: FirecrestError): void;
}

/** Never before 2^31 ms, where setTimeout would fire at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

let io: { worker: Worker; users: number } | undefined;

/** The requests' thread, while a session wants one. */
function attachIo(attach: Attach, died: (error: Error) => void): () => void {
  if (!io) {
    const worker = new Worker(new URL('./io/worker.js', import.meta.url), { name: 'aiida-firecrest-http', execArgv: [], stdin: false });
    worker.setMaxListeners(0);
    worker.unref();
    io = { worker, users: 0 };
  }
  const used = io;
  used.users += 1;
  const onError = (error: Error): void => {
    if (io === used) io = undefined;
    died(error);
  };
  const onExit = (): void => onError(new Error('it ended'));
  used.worker.once('error', onError);
  used.worker.once('exit', onExit);
  used.worker.postMessage(attach, [attach.port]);
  return () => {
    used.worker.off('error', onError);
    used.worker.off('exit', onExit);
    if (--used.users > 0) return;
    if (io === used) io = undefined;
    void used.worker.terminate();
  };
}

export class Engine {
  readonly #worker: Worker;
  readonly #shared: SharedArrayBuffer;
  readonly #host: MessagePort;
  readonly #detach: () => void;
  readonly #deadline: number;
  #queue: Promise<unknown> = Promise.resolve();
  #running: Running | undefined;
  #ended: FirecrestError | undefined;
  #exited: Promise<number>;
  #latest = 0;

  static async start(memory: number, deadline: number): Promise<Engine> {
    const engine = new Engine(await modules(memory), deadline);
    await engine.call({ target: 'ready', name: 'start', args: [] });
    return engine;
  }

  private constructor(compiled: Record<string, WebAssembly.Module>, deadline: number) {
    this.#deadline = deadline;
    this.#shared = new SharedArrayBuffer(SHARED_BYTES);
    const requests = new MessageChannel();
    const host = new MessageChannel();
    this.#host = host.port1;
    this.#host.unref();
    const data: GuestData = { modules: compiled, shared: this.#shared, io: requests.port1, host: host.port2 };
    // Neither the environment nor the arguments of the process are any of the component's business.
    this.#worker = new Worker(new URL('./guest/worker.js', import.meta.url), {
      name: 'aiida-firecrest',
      workerData: data,
      transferList: [requests.port1, host.port2],
      env: {},
      argv: [],
      execArgv: [],
    });
    this.#worker.unref();
    this.#worker.on('message', (message: FromGuest) => this.#hear(message));
    this.#worker.on('error', (error: Error) => this.#end(died(error.message)));
    this.#exited = new Promise((resolve) => this.#worker.once('exit', resolve));
    this.#worker.once('exit', (code) => this.#end(died(`it ended with ${code}`)));
    this.#detach = attachIo({ port: requests.port2, shared: this.#shared }, (error) =>
      this.#end(new FirecrestError(`the thread of requests died: ${error.message}`, { kind: 'session-ended' })),
    );
  }

  /** The worker, for tests. */
  get worker(): Worker {
    return this.#worker;
  }

  /** Runs a call when those before it are done. */
  call(asked: Pick<Call, 'target' | 'name' | 'args'>, settings: CallSettings = {}): Promise<unknown> {
    const { signal } = settings;
    if (signal?.aborted) return Promise.reject(cancelled(asked.name, signal));
    const turn = this.#queue.then(() => {
      if (this.#ended) throw this.#sessionEnded();
      if (signal?.aborted) throw cancelled(asked.name, signal);
      return this.#run(asked, settings);
    });
    this.#queue = turn.then(({ done }) => done, () => undefined);
    const answer = turn.then(({ answer }) => answer);
    return signal ? unlessAborted(answer, turn, signal, asked.name) : answer;
  }

  #run(asked: Pick<Call, 'target' | 'name' | 'args'>, settings: CallSettings): { answer: Promise<unknown>; done: Promise<unknown> } {
    const { signal, folders = [], open, onProgress, harmless } = settings;
    const call: Call = { id: ++this.#latest, ...asked, folders, progress: onProgress !== undefined, ...(open ? { open } : {}) };
    const control = new Int32Array(this.#shared);
    Atomics.store(control, STOP, 0);
    const done = new Promise((resolve, reject) => {
      this.#running = { call, settings, resolve, reject };
    });
    this.#worker.ref();
    const timer = setTimeout(() => this.#late(), Math.min(this.#deadline, LONGEST_TIMER));
    const stop = (): void => void Atomics.store(control, STOP, 1);
    signal?.addEventListener('abort', stop, { once: true });
    const settled = done.finally(() => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', stop);
      this.#running = undefined;
      this.#worker.unref();
    });
    this.#worker.postMessage(call);
    settings.begun?.();
    const over = settled.then(() => undefined, () => undefined);
    return { answer: harmless && signal ? Promise.race([settled, whenAborted(signal, call.name, over)]) : settled, done: over };
  }

  /** For a stream of the running call. */
  send(message: ToGuest, transfer: ArrayBuffer[] = []): void {
    if (this.#ended) return;
    this.#host.postMessage(message, transfer);
    const counter = new Int32Array(this.#shared);
    Atomics.add(counter, 0, 1);
    Atomics.notify(counter, 0);
  }

  get hasEnded(): boolean {
    return this.#ended !== undefined;
  }

  /** Ends the worker, whatever it does. Resolves when it is gone. */
  async close(): Promise<void> {
    this.#end(new FirecrestError('the session was closed', { kind: 'session-ended' }));
    await this.#exited;
  }

  #late(): void {
    const seconds = this.#deadline / 1000;
    this.#end(new FirecrestError(`the call took longer than its limit of ${seconds} s and was ended`, { kind: 'deadline' }));
  }

  #end(reason: FirecrestError): void {
    if (this.#ended) return;
    this.#ended = reason;
    this.#detach();
    this.#host.close();
    void this.#worker.terminate();
    const running = this.#running;
    if (running) running.reject(about(reason, running.call.name));
  }

  #sessionEnded(): FirecrestError {
    return new FirecrestError(`this session has ended (${this.#ended?.message}): open another one`, { kind: 'session-ended', cause: this.#ended });
  }

  #hear(message: FromGuest): void {
    const running = this.#running;
    if ('stream' in message) {
      running?.settings.streams?.get(message.stream)?.handle(message);
      return;
    }
    if (!running || message.id !== running.call.id) return;
    const { name } = running.call;
    switch (message.type) {
      case 'result':
        return running.resolve(message.value);
      case 'refused':
        return running.reject(contractError(name, message.error, message.network, message.origin, running.settings.signal));
      case 'local':
        return running.reject(
          new FirecrestError(message.message, { kind: message.code as ErrorKind, operation: name, subject: message.path, path: message.path }),
        );
      case 'fault': {
        const text = message.kind === 'memory' ? 'the component needs more memory than it may have' : `the component failed: ${message.detail}`;
        return this.#end(new FirecrestError(text, { kind: message.kind }));
      }
      case 'progress':
        return this.#progress(running, message.status);
    }
  }

  #progress(running: Running, status: unknown): void {
    try {
      // An answer of false is a wish to stop.
      if (running.settings.onProgress?.(status) === false) Atomics.store(new Int32Array(this.#shared), STOP, 1);
    } catch (error) {
      Atomics.store(new Int32Array(this.#shared), STOP, 1);
      // The caller's own fault, told as the reason of the stop.
      const { reject } = running;
      running.reject = (stopped) => reject(Object.assign(stopped, { cause: error }));
    }
  }
}

function died(reason: string): FirecrestError {
  return new FirecrestError(`the session's worker died: ${reason}`, { kind: 'session-ended' });
}

function about(error: FirecrestError, operation: string): FirecrestError {
  return new FirecrestError(error.message, { kind: error.kind, operation, cause: error.cause });
}

function cancelled(operation: string, signal: AbortSignal): FirecrestError {
  return new FirecrestError(`${operation} was stopped`, { kind: 'cancelled', operation, cause: signal.reason });
}

/** Rejects when the signal says stop, unless all is over by then. */
function whenAborted(signal: AbortSignal, operation: string, over: Promise<unknown>): Promise<never> {
  return new Promise((_, reject) => {
    const stop = (): void => reject(cancelled(operation, signal));
    signal.addEventListener('abort', stop, { once: true });
    void over.then(() => signal.removeEventListener('abort', stop));
  });
}

/** A call that still waits for its turn need not wait for it to be cancelled. */
function unlessAborted(answer: Promise<unknown>, turn: Promise<unknown>, signal: AbortSignal, operation: string): Promise<unknown> {
  const begun = turn.then(() => undefined, () => undefined);
  return Promise.race([answer, whenAborted(signal, operation, begun)]);
}

const JOB_OPERATIONS = new Set(['jobs', 'cancel', 'wait', 'details']);

export function contractError(
  operation: string,
  error: ContractError,
  network?: string,
  origin?: string,
  signal?: AbortSignal,
): FirecrestError {
  const { subject } = error;
  const isPath = subject?.startsWith('/');
  return new FirecrestError(sentence(error, network), {
    kind: error.kind as ErrorKind,
    operation,
    subject,
    path: isPath ? subject : undefined,
    job: !isPath && JOB_OPERATIONS.has(operation) ? subject : undefined,
    origin,
    status: error.httpStatus,
    serverMessage: error.serverMessage,
    requestId: error.requestId,
    retryAfter: error.retryAfterMs === undefined ? undefined : Number(error.retryAfterMs),
    cause: error.kind === 'cancelled' && signal?.aborted ? signal.reason : undefined,
  });
}

/** The component's sentence, with the subject and the network's reason where it does not hold them already. */
function sentence({ message, kind, subject }: ContractError, network?: string): string {
  let text = message || kind.replaceAll('-', ' ');
  if (subject && !text.includes(subject)) text = `${subject}: ${text}`;
  const repeated = network !== undefined && text.includes(network.split(' ')[0]!) && network.includes('://');
  if (network && !repeated) text = `${text} (${network})`;
  // Control characters would let a server's text write over a terminal.
  return text.replace(/[\p{Cc}\s]+/gu, ' ').trim();
}
