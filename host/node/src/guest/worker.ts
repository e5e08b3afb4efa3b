// The component's thread: one instance, one call at a time. It blocks while a call runs, and nothing else in the process does.
import { parentPort, workerData } from 'node:worker_threads';
import { randomBytes } from 'node:crypto';
import { instantiate } from '#component/aiida_firecrest.js';
import { FirecrestError } from '../errors.js';
import { Origin } from '../policy.js';
import { STOP, type Call, type ContractError, type FromGuest, type FromIo, type GuestData, type OptionValues, type Place, type ToGuest } from '../protocol.js';
import { Stderr, cli } from './cli.js';
import { Descriptor, DirectoryEntryStream, Grants, filesystemErrorCode } from './files.js';
import { HostStreams } from './host-streams.js';
import * as http from './http.js';
import { Inbox, monotonicClock, pollInterface, useInbox, wallClock } from './poll.js';
import { Secrets } from './secrets.js';
import { InputStream, IoError, OutputStream } from './streams.js';

/** Bytes of each text of an error. */
const TEXT = 64 << 10;
/** Reports that are told at once, and a second: the contract says ten. */
const REPORTS = 20;

const data = workerData as GuestData;
const parent = parentPort!;
const stop = new Int32Array(data.shared);
const inbox = new Inbox(data.shared);
const secrets = new Secrets();
const client = new http.Client(data.io, secrets);
const streams = new HostStreams(parent);
const stderr = new Stderr();
let grants = new Grants([]);
let current: Call | undefined;

useInbox(inbox);
inbox.listen<FromIo>(data.io, (message) => client.handle(message));
inbox.listen<ToGuest>(data.host, (message) => streams.handle(message));

/** A bucket of reports that fills again with time: a component that floods is told, but does not fill the session's queue. */
const reports = { allowed: REPORTS, since: performance.now() };

const progress = {
  report(status: unknown): 'proceed' | 'stop' {
    const now = performance.now();
    reports.allowed = Math.min(reports.allowed + ((now - reports.since) / 1000) * REPORTS, REPORTS);
    reports.since = now;
    if (current?.progress && reports.allowed >= 1) {
      reports.allowed -= 1;
      tell({ type: 'progress', id: current.id, status });
    }
    return Atomics.load(stop, STOP) === 1 ? 'stop' : 'proceed';
  },
};

const imports = {
  'aiida:hpc/progress': progress,
  'aiida:hpc/permissions': {
    get: (path: string) => grants.permissions(path),
    set: (path: string, mode: number) => grants.setPermissions(path, mode),
  },
  'aiida:hpc/types': {},
  ...cli(stderr),
  'wasi:clocks/monotonic-clock': monotonicClock,
  'wasi:clocks/wall-clock': wallClock,
  'wasi:filesystem/preopens': { getDirectories: () => grants.directories() },
  'wasi:filesystem/types': { Descriptor, DirectoryEntryStream, filesystemErrorCode },
  'wasi:http/outgoing-handler': {
    handle: (request: http.OutgoingRequest, options: http.RequestOptions | undefined) => client.begin(request, options),
  },
  'wasi:http/types': { ...http },
  'wasi:io/error': { Error: IoError },
  'wasi:io/poll': pollInterface,
  'wasi:io/streams': { InputStream, OutputStream },
  'wasi:random/insecure-seed': { insecureSeed: () => [random(), random()] },
  'wasi:random/random': { getRandomU64: random },
};

function random(): bigint {
  return randomBytes(8).readBigUInt64LE();
}

type Functions = Record<string, (...args: unknown[]) => unknown>;
type Handle = Functions;

// Transpiled types name the imports with their versions, the code reads them without.
const root = (await instantiate((name: string) => data.modules[name]!, imports as never)) as unknown as {
  configuration: Functions;
  scheduler: Functions;
  transport: { Session: Functions };
};

let session: Handle | undefined;
const peers: Handle[] = [];

parent.on('message', (call: Call) => {
  current = call;
  try {
    grants.close();
    stderr.clear();
    client.lastFailure = undefined;
    client.refused = undefined;
    grants = new Grants(call.folders);
    tell({ type: 'result', id: call.id, value: run(call) });
  } catch (error) {
    tell(failure(call.id, error));
  } finally {
    grants.close();
    streams.clear();
    client.abandon();
    current = undefined;
  }
});

function run({ target, name, args, open }: Call): unknown {
  const filled = args.map(fill);
  switch (target) {
    case 'ready':
      return undefined;
    case 'open':
      session = openSession(open!);
      return [...client.origins];
    case 'peer': {
      secrets.learnOptions(open!.values);
      peers.push(root.transport.Session.open!(open!.values, open!.state) as Handle);
      return peers.length - 1;
    }
    case 'configuration':
      if (open) learn(open);
      return root.configuration[name]!(...filled);
    case 'scheduler':
      return root.scheduler[name]!(...filled);
    case 'session':
      return root.scheduler[name]!(session, ...filled);
    case 'transport':
      return session![name]!(...filled);
  }
}

function learn({ values, origins, caFiles }: NonNullable<Call['open']>): void {
  secrets.learnOptions(values);
  client.origins = new Set(origins);
  client.caFiles = caFiles;
}

/** Opens the session; then the origins that the server names for large files are allowed, if they are no less safe than itself. */
function openSession(open: NonNullable<Call['open']>): Handle {
  learn(open);
  const opened = root.transport.Session.open!(open.values, open.state) as Handle;
  const server = serverOf(open.values);
  if (open.learns && server) {
    for (const text of opened.origins!() as string[]) {
      const named = parsed(text);
      if (named && server.mayName(named)) client.origins.add(named.toString());
    }
  }
  return opened;
}

function serverOf(values: OptionValues): Origin | undefined {
  const url = values.find(([name]) => name === 'url')?.[1];
  try {
    return url === undefined ? undefined : Origin.ofUrl(url);
  } catch {
    return undefined;
  }
}

function parsed(text: string): Origin | undefined {
  try {
    return Origin.parse(text);
  } catch {
    return undefined;
  }
}

function fill(argument: unknown): unknown {
  const place = argument as Partial<Place> | undefined | null;
  switch (place?.place) {
    case 'stream-in':
      return streams.input(place.id!);
    case 'stream-out':
      return streams.output(place.id!);
    case 'peer':
      return peers[place.id!];
    default:
      return argument;
  }
}

function failure(id: number, error: unknown): FromGuest {
  if (error instanceof FirecrestError) return { type: 'local', id, path: error.path ?? '', code: error.kind, message: error.message };
  // Thrown as it is: whatever else comes is a fault, an Error of JavaScript's or of the engine's.
  if (!(error instanceof Error) && typeof (error as ContractError | undefined)?.kind === 'string') {
    const refused = error as ContractError;
    const network = explains(refused) ? client.lastFailure : undefined;
    const origin = refused.kind === 'permission-denied' && refused.httpStatus === undefined ? client.refused : undefined;
    return { type: 'refused', id, error: cleaned(refused), network: network && secrets.hidden(network), origin };
  }
  const said = secrets.hidden(stderr.text());
  const detail = said || secrets.hidden(String((error as Error)?.message ?? error));
  return { type: 'fault', id, kind: isMemory(said, error) ? 'memory' : 'trapped', detail };
}

/** A panic says why before it traps. What could not be allocated for a call's arguments traps without a word. */
function isMemory(said: string, error: unknown): boolean {
  return said.includes('memory allocation of') || (said === '' && error instanceof WebAssembly.RuntimeError && error.message === 'unreachable');
}

/** What happened on the network says more only where no answer came. */
function explains({ kind, httpStatus }: ContractError): boolean {
  return httpStatus === undefined && ['unavailable', 'timeout', 'permission-denied', 'outcome-unknown', 'other'].includes(kind);
}

function cleaned(error: ContractError): ContractError {
  const copy: Record<string, unknown> = { ...error };
  for (const [name, value] of Object.entries(copy)) {
    if (typeof value === 'string') copy[name] = secrets.hidden(value.slice(0, TEXT));
  }
  return copy as unknown as ContractError;
}

function tell(message: FromGuest): void {
  parent.postMessage(message);
}
