// What needs no server.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Options } from 'aiida-firecrest-wasm';
import { withMaximum } from '../dist/component.js';
import { ProhibitedAddress } from '../dist/io/agents.js';
import { failureOf } from '../dist/io/failures.js';
import { Origin, isLocal, isLocalAddress } from '../dist/policy.js';

test('an origin is a scheme, a host and a port', () => {
  for (const [text, shown] of [
    ['https://Api.Example.org', 'https://api.example.org'],
    ['https://api.example.org:443/', 'https://api.example.org'],
    ['http://api.example.org:80', 'http://api.example.org'],
    ['http://127.0.0.1:8000', 'http://127.0.0.1:8000'],
    ['http://[::1]:8000', 'http://[::1]:8000'],
    ['http://[0:0::1]:8000', 'http://[::1]:8000'],
  ]) {
    assert.equal(Origin.parse(text).toString(), shown);
  }
  assert.equal(Origin.ofUrl('https://a.b/path?x=1').toString(), 'https://a.b');
});

test('what is no origin is refused, and a password in it is not shown', () => {
  for (const text of [
    '', 'api.example.org', 'localhost:8000', 'ftp://a.b', 'https://', 'https://a.b/path', 'https://a.b?x=1', 'https://*.b', 'https://u:p@a.b',
    'https://a.b:', 'https://a.b:99999', 'https://a b', 'http://127.1', 'http://2130706433', 'http://0x7f.0.0.1', 'http://0x7f000001:80',
    'http://1.2.3.4.5', 'http://[::1%25lo]', 'http://[fe80::1', '*', 'https://a.b\\@c.d', 'https://a.b#c',
  ]) {
    assert.throws(() => Origin.parse(text), (error) => /** @type {any} */ (error).kind === 'policy', text);
  }
  assert.throws(() => Origin.parse('https://user:hunter22@a.b'), (error) => !String(error).includes('hunter22'));
});

test('a server names no origin that is less safe than itself', () => {
  const server = Origin.parse('https://api.example.org');
  for (const [text, may] of /** @type {const} */ ([
    ['https://objects.example.org', true], ['http://objects.example.org', false], ['https://10.0.0.1', false],
    ['https://localhost', false], ['https://169.254.169.254', false],
  ])) {
    assert.equal(server.mayName(Origin.parse(text)), may, text);
  }
  assert.equal(Origin.parse('http://127.0.0.1:1').mayName(Origin.parse('http://127.0.0.1:2')), true);
});

test('addresses of this machine and its link', () => {
  for (const address of ['127.0.0.1', '127.9.9.9', '0.0.0.0', '169.254.169.254', '::1', '::', 'fe80::1', 'fe80::1%eth0', '::ffff:127.0.0.1', '::ffff:a9fe:a9fe']) {
    assert.equal(isLocalAddress(address), true, address);
  }
  for (const address of ['10.0.0.1', '8.8.8.8', '2001:db8::1', '::ffff:8.8.8.8']) assert.equal(isLocalAddress(address), false, address);
  assert.equal(isLocal('x.LOCALHOST.'), true);
  assert.equal(isLocal('localhost.example.org'), false);
});

test('options come from objects, files and the environment', () => {
  const options = new Options({ url: 'http://x', max_io_allowed: 8, checksum_check: true, list: [], nothing: null });
  assert.deepEqual(options.names, ['url', 'max_io_allowed', 'checksum_check']);
  assert.deepEqual(Options.fromEnvironment({ AIIDA_FIRECREST_CLIENT_ID: 'me', AIIDA_FIRECREST_CONFIG: '/x', HOME: '/' }).names, ['client_id']);
  assert.deepEqual(options.with({ client_id: 'me' }).names.length, 4);
  assert.throws(() => Options.fromFile('/no/such/file'), (error) => /** @type {any} */ (error).kind === 'not-found');
});

test('a memory can be given an end', async () => {
  // (module (memory (export "m") 1))
  const module = Uint8Array.from([0, 97, 115, 109, 1, 0, 0, 0, 5, 3, 1, 0, 1, 7, 5, 1, 1, 109, 2, 0]);
  const { instance } = await WebAssembly.instantiate(withMaximum(module, 300));
  const memory = /** @type {WebAssembly.Memory} */ (instance.exports.m);
  assert.equal(memory.grow(299), 1);
  assert.throws(() => memory.grow(1));
});

test('what went wrong on the network has its code', () => {
  /** @param {string} code @param {object} [more] */
  const error = (code, more) => Object.assign(new Error(code), { code, ...more });
  for (const [failure, tag] of /** @type {[Error, string][]} */ ([
    [error('ECONNREFUSED'), 'connection-refused'],
    [new AggregateError([error('EHOSTUNREACH'), error('ECONNREFUSED')]), 'destination-unavailable'],
    [error('ENOTFOUND', { syscall: 'getaddrinfo' }), 'DNS-error'],
    [error('ECONNRESET'), 'connection-terminated'],
    [error('SELF_SIGNED_CERT_IN_CHAIN'), 'TLS-certificate-error'],
    [error('ERR_TLS_CERT_ALTNAME_INVALID'), 'TLS-certificate-error'],
    [error('EPROTO'), 'TLS-protocol-error'],
    [error('HPE_INVALID_CONSTANT'), 'HTTP-protocol-error'],
    [new ProhibitedAddress('evil.example.org'), 'destination-IP-prohibited'],
    [new Error('else'), 'internal-error'],
  ])) {
    assert.equal(failureOf(failure).code.tag, tag);
  }
});
