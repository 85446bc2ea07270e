// The main program of the runtime node: runs one file for one run.
//
// The file is imported, as a module or as CommonJS. If it then exports
// `transform(data, ctx)` or `handle(event, context)`, that is called, and what
// it returns or promises goes as one JSON document to descriptor 3. A run of
// several stages is this program several times, each in a sandbox of its own.
// Everything here runs inside the sandbox and can be altered by the function:
// the station trusts none of it.
'use strict'
const fs = require('node:fs')
const path = require('node:path')
const { pathToFileURL } = require('node:url')

// Where the sandbox's paths begin, if it has no root of its own.
const ROOT = process.env.STRONGROOM_ROOT ?? ''
const [FUNCTION, DATA, OUT, STAGE] = ['/function', '/data', '/out', '/stage'].map((name) => ROOT + name)
const RESULT = 3
const STAGES = ['expose', 'download', 'transform']

/** The inputs: the files in `/data`, or those in one named input. */
class Data {
  #root
  constructor(root) { this.#root = root }

  /** The folder, or null when there are no inputs. */
  get path() { return this.#root }

  /** The paths of all files below the folder, sorted. */
  names() {
    if (this.#root === null) return []
    const found = fs.readdirSync(this.#root, { recursive: true, withFileTypes: true })
    const files = found.filter((entry) => entry.isFile())
    return files.map((entry) => path.relative(this.#root, path.join(entry.parentPath ?? entry.path, entry.name))).sort()
  }

  /** One file; the name may be left out when there is only one. */
  bytes(name = this.#only()) { return fs.readFileSync(path.join(this.#root ?? DATA, name)) }
  text(name) { return this.bytes(name).toString('utf8') }
  json(name) { return JSON.parse(this.text(name)) }
  /** The rows of one CSV file, each an object by the names in its first line. */
  rows(name) { return rows(this.text(name)) }

  /** One named input. */
  input(name) {
    const root = path.join(this.#root ?? DATA, name)
    if (this.#root === null || !fs.statSync(root, { throwIfNoEntry: false })?.isDirectory()) {
      throw new Error(`there is no input ${name}`)
    }
    return new Data(root)
  }

  #only() {
    const names = this.names()
    if (names.length !== 1) {
      throw new Error(`say which file is meant; there are ${names.length}: ${names.slice(0, 10).join(', ')}`)
    }
    return names[0]
  }
}

/** What a stage knows of its run. */
class Context {
  constructor(args) {
    this.args = args
    this.runId = process.env.STRONGROOM_RUN_ID ?? ''
    this.stage = process.env.STRONGROOM_STAGE ?? ''
    this.out = OUT
  }

  /** What `download` returned; only `transform` has it. */
  get download() { return this.#value('download') }
  /** What `expose` returned; only `download` has it. */
  get expose() { return this.#value('expose') }
  /** The settings and the secrets of this stage, by name. */
  get config() { return JSON.parse(process.env.STRONGROOM_CONFIG || '{}') }
  get secrets() { return JSON.parse(process.env.STRONGROOM_SECRETS || '{}') }

  /** Writes one output: bytes, text, or anything else as JSON. */
  write(name, value) {
    const to = path.join(OUT, name)
    fs.mkdirSync(path.dirname(to), { recursive: true })
    const plain = typeof value === 'string' || value instanceof Uint8Array
    fs.writeFileSync(to, plain ? value : strict(value, name))
  }

  /** Has the gateway perform a call, in `download` only. */
  fetch(url, options = {}) { return call(url, options) }

  #value(stage) {
    const file = `${STAGE}/${stage}.json`
    if (!fs.existsSync(file)) {
      throw new Error(`the stage ${this.stage || 'of this run'} is given no value of the stage ${stage}`)
    }
    return JSON.parse(fs.readFileSync(file, 'utf8'))
  }
}

/** What a handler may answer with, besides returning it. */
class HandlerContext {
  #status = 200
  #headers = {}
  constructor() { this.hostname = require('node:os').hostname() }

  status(code) { this.#status = code; return this }
  headers(given) { Object.assign(this.#headers, given); return this }
  succeed(body) { return { statusCode: this.#status, headers: this.#headers, body } }
  fail(error) {
    const statusCode = this.#status < 400 ? 500 : this.#status
    return { statusCode, headers: this.#headers, body: String(error?.message ?? error) }
  }
}

/** A call that the gateway performs: a request in absolute form, TLS included. */
function call(url, { method = 'GET', headers = {}, body } = {}) {
  const proxy = process.env.HTTP_PROXY
  if (!proxy) throw new Error('only the stage download reaches a network')
  const target = new URL(url)
  const { hostname, port } = new URL(proxy)
  const asked = { hostname, port, method, path: target.href, headers: { host: target.host, ...headers }, agent: false }
  return new Promise((resolve, reject) => {
    const request = require('node:http').request(asked, (response) => {
      const parts = []
      response.on('data', (part) => parts.push(part))
      response.on('error', reject)
      response.on('end', () => {
        const bytes = Buffer.concat(parts)
        const refused = response.headers['strongroom-refused']
        if (refused) return reject(Object.assign(new Error(bytes.toString('utf8').trim()), { code: refused }))
        const text = () => bytes.toString('utf8')
        resolve({ status: response.statusCode, headers: response.headers, bytes, text, json: () => JSON.parse(text()) })
      })
    })
    request.on('error', reject)
    request.end(body)
  })
}

/** The rows of a text in CSV. */
function rows(text) {
  const records = [[]]
  let cell = ''
  let quoted = false
  let at = text.startsWith('\ufeff') ? 1 : 0
  const end = () => { records.at(-1).push(cell); cell = '' }
  for (; at < text.length; at++) {
    const c = text[at]
    if (quoted) {
      if (c !== '"') cell += c
      else if (text[at + 1] === '"') { cell += '"'; at++ } else quoted = false
    } else if (c === '"' && cell === '') quoted = true
    else if (c === ',') end()
    else if (c === '\n' || (c === '\r' && text[at + 1] === '\n')) {
      if (c === '\r') at++
      end()
      records.push([])
    } else cell += c
  }
  if (cell !== '' || records.at(-1).length !== 0) end()
  const whole = records.filter((record) => record.length !== 0 && !(record.length === 1 && record[0] === ''))
  const [head = [], ...body] = whole
  return body.map((record) => Object.fromEntries(head.map((name, index) => [name, record[index]])))
}

/** The bytes of the arguments, whatever the function has read of them. */
function argumentBytes() {
  const raw = Buffer.alloc(fs.fstatSync(0).size)
  let read = 0
  while (read < raw.length) {
    const part = fs.readSync(0, raw, read, raw.length - read, read)
    if (part === 0) break
    read += part
  }
  return raw.subarray(0, read)
}

/** Strict JSON: what it cannot carry is an error, and not null. */
function strict(value, who) {
  const refuse = (what) => { throw new TypeError(`${who} returned what JSON cannot carry: ${what}`) }
  const check = (key, one) => {
    if (typeof one === 'number' && !Number.isFinite(one)) refuse(`${one}`)
    if (['bigint', 'function', 'symbol'].includes(typeof one)) refuse(`a ${typeof one}`)
    if (one instanceof Map || one instanceof Set) refuse(`a ${one.constructor.name}`)
    return one
  }
  const text = JSON.stringify(value === undefined ? null : value, check)
  return text === undefined ? refuse(typeof value) : text
}

/** Sends the returned value. */
function send(value, who) {
  const raw = Buffer.from(strict(value, who))
  for (let sent = 0; sent < raw.length;) sent += fs.writeSync(RESULT, raw, sent)
  fs.closeSync(RESULT)
}

/** A handler's answer with every part there. */
function answered(raw) {
  if (raw === undefined || raw === null) raw = {}
  if (typeof raw !== 'object' || Array.isArray(raw)) throw new TypeError(`handle returns nothing or an object, not ${typeof raw}`)
  const statusCode = raw.statusCode ?? 200
  if (!Number.isInteger(statusCode) || statusCode < 100 || 599 < statusCode) {
    throw new TypeError(`statusCode is a number from 100 to 599, not ${statusCode}`)
  }
  let body = raw.body ?? ''
  if (body instanceof Uint8Array) body = Buffer.from(body).toString('utf8')
  else if (typeof body !== 'object') body = String(body)
  const headers = raw.headers ?? {}
  const pairs = Array.isArray(headers) ? headers : Object.entries(headers)
  return { statusCode, body, headers: Object.fromEntries(pairs.map(([key, value]) => [String(key), String(value)])) }
}

async function handle(handler) {
  const raw = argumentBytes()
  const headers = { 'content-type': 'application/json' }
  const event = { body: JSON.parse(raw), bytes: raw, headers, method: 'POST', query: {}, path: '/' }
  const answer = answered(await handler(event, new HandlerContext()))
  send(answer, 'handle')
  if (400 <= answer.statusCode) {
    console.error(`strongroom: handle answered ${answer.statusCode}`)
    process.exitCode = 1
  }
}

/** What to call after the file itself has run. */
function entryOf(module, file) {
  const find = (name) => [module[name], module.default?.[name]].find((one) => typeof one === 'function')
  const now = process.env.STRONGROOM_STAGE
  if (now === 'expose' || now === 'download') {
    const found = find(now)
    if (!found) throw new TypeError(`the run has the stage ${now}, and the file exports no function of that name`)
    return { name: now, found }
  }
  const isHandler = /^handler\.[cm]?js$/.test(path.basename(file))
  const whole = isHandler && typeof module.default === 'function' ? module.default : undefined
  const given = [['transform', find('transform')], ['handle', find('handle') ?? whole]].filter(([, found]) => found)
  if (given.length === 2) throw new TypeError('the file exports both transform and handle; keep one of them')
  if (given.length === 0 && isHandler) throw new TypeError(`${path.basename(file)} exports no function handle(event, context)`)
  return given.length === 0 ? null : { name: given[0][0], found: given[0][1] }
}

async function main() {
  const file = path.join(FUNCTION, process.argv[1])
  process.argv = [process.argv0, file]
  const entry = entryOf(await import(pathToFileURL(file)), file)
  if (entry === null) return
  if (entry.name === 'handle') return handle(entry.found)
  const context = new Context(JSON.parse(argumentBytes()) ?? {})
  if (entry.name === 'download') return send(await entry.found(context), entry.name)
  const root = fs.existsSync(DATA) ? DATA : null
  send(await entry.found(new Data(root), context), entry.name)
}

/** What went wrong, without the lines of this file. */
function shown(error) {
  const text = error instanceof Error ? (error.stack ?? String(error)) : `${error}`
  return text.split('\n').filter((line) => !/^ {4}at .*(\[eval\]|node:internal)/.test(line)).join('\n')
}

function fail(error) {
  console.error(shown(error))
  process.exit(1)
}

// A function may have a listener of its own, and then that decides.
process.on('unhandledRejection', (error) => {
  if (process.listenerCount('unhandledRejection') === 1) fail(error)
})
main().catch(fail)
