/** A station, and a token for it; without one, those of STRONGROOM_URL and STRONGROOM_TOKEN. */
export interface Station {
  readonly url: string;
  readonly token: string;
}

/** One dataset as `owner/name`, several as `input=owner/name`, or an object by input. */
export type On = string | ReadonlyArray<string> | { readonly [input: string]: string };

export interface CallOptions {
  station?: Station;
  /** Bounds for the run, such as `{ memory: "256 MiB", time: "30s" }`. */
  limits?: { readonly [bound: string]: string | number };
  /** What the result is for, told to the owners. */
  purpose?: string;
  /** Whether data may reach its stage with a network, where it has one. */
  expose?: "off" | "ask_owners" | "all_datasets";
  /** Calling twice with the same key is calling once. */
  key?: string;
  /** How long to wait, also for owners to answer; without it, to the end. */
  timeoutMs?: number;
  /** Told whom the call waits for; without it, a line on the console says so. */
  onPending?: (run: Run) => void;
}

export interface Run {
  readonly id: string;
  readonly request: string;
  readonly state: "waiting" | "queued" | "starting" | "running" | "ended";
  readonly waits_for?: ReadonlyArray<string>;
  readonly reason?: { readonly code: string; readonly [detail: string]: unknown };
  readonly value?: unknown;
  readonly started_ms?: number;
}

export class StrongroomError extends Error {}

/** The station did not answer. */
export class Unreachable extends StrongroomError {}

/** What answered does not answer as a station does. */
export class BadAnswer extends StrongroomError {}

/** The station's no to a call; `code` is stable. */
export class Problem extends StrongroomError {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, detail: string) {
    super(`${harmless(detail)} (${harmless(code)})`);
    this.status = status;
    this.code = code;
  }
}

/** The time given was over before the run was; it goes on. */
export class NotEnded extends StrongroomError {
  readonly run: Run;
  constructor(run: Run, message: string) {
    super(message);
    this.run = run;
  }
}
export class PendingApproval extends NotEnded {}
export class StillRunning extends NotEnded {}

/** The run ended, and not well; by its reason. */
export class RunError extends StrongroomError {
  readonly run: Run;
  readonly code: string;
  /** What the function's interpreter said at its end, as it came. */
  readonly remoteTraceback: string | undefined;
  constructor(run: Run, remoteTraceback: string | undefined) {
    const { code, ...details } = run.reason ?? { code: "unknown" };
    const shown = Object.keys(details).length ? ` ${harmless(JSON.stringify(details))}` : "";
    const trace = remoteTraceback?.split("\n").map(harmless).join("\n  ");
    super(`${harmless(code)}${shown} (${harmless(run.id)})${trace ? `\n\nRemote traceback:\n  ${trace}` : ""}`);
    this.run = run;
    this.code = code;
    this.remoteTraceback = remoteTraceback;
  }
}
export class Failed extends RunError {}
export class TimedOut extends RunError {}
export class OutOfMemory extends RunError {}
export class TooManyProcesses extends RunError {}
export class DiskFull extends RunError {}
export class OutputTooLarge extends RunError {}
export class OutputRefused extends RunError {}
export class LogLimit extends RunError {}
export class Cancelled extends RunError {}
export class Refused extends RunError {}
export class BuildFailed extends RunError {}
export class HostError extends RunError {}

const REASONS: { readonly [code: string]: typeof RunError } = {
  failed: Failed,
  timed_out: TimedOut,
  out_of_memory: OutOfMemory,
  too_many_processes: TooManyProcesses,
  disk_full: DiskFull,
  output_too_large: OutputTooLarge,
  output_refused: OutputRefused,
  log_limit: LogLimit,
  cancelled: Cancelled,
  refused: Refused,
  build_failed: BuildFailed,
  host_error: HostError,
};

const ATTEMPTS_MAX = 4;
const WAIT_MS_MAX = 50_000;
const SILENCE_MS_MAX = 90_000;
const LINES_OF_PAGE = 1000;
const TAIL_LINES_MAX = 200;
/** The longest answer, in bytes, as it is when it is no longer compressed. */
const ANSWER_BYTES_MAX = 256 * 1024 * 1024;

async function callFunction(
  name: string,
  call: { on?: On; args?: object } & CallOptions,
): Promise<unknown> {
  const station = call.station ?? stationOfEnvironment();
  const deadline = call.timeoutMs === undefined ? Infinity : Date.now() + call.timeoutMs;
  const asked = {
    function: name,
    on: inputs(call.on),
    args: call.args ?? {},
    limits: call.limits ?? {},
    purpose: call.purpose ?? "",
    ...(call.expose === undefined ? {} : { expose: call.expose }),
  };
  const key = call.key ?? globalThis.crypto.randomUUID();
  let run = runOf(await send(station, "POST", "/v1/runs", asked, { "Idempotency-Key": key }));
  if (run.state === "waiting") (call.onPending ?? tellPending)(run);
  while (run.state !== "ended") {
    const left = Math.min(WAIT_MS_MAX, deadline - Date.now());
    if (left <= 0) {
      if (run.state === "waiting") throw new PendingApproval(run, pendingMessage(run));
      throw new StillRunning(run, `${harmless(run.id)} has not ended; it is ${harmless(run.state)}`);
    }
    const wait = Math.max(1, Math.floor(left));
    run = runOf(await send(station, "GET", `/v1/runs/${encodeURIComponent(run.id)}?wait=${wait}ms`));
  }
  if (run.reason?.code === "succeeded") return run.value;
  const kind = REASONS[run.reason?.code ?? ""] ?? RunError;
  throw new kind(run, run.started_ms === undefined ? undefined : await traceback(station, run));
}

/** A run, if that is what was answered. */
function runOf(answer: unknown): Run {
  const run = answer as Partial<Run> | null;
  const reason = run?.reason;
  const isRun =
    typeof run?.id === "string" &&
    typeof run.state === "string" &&
    (run.waits_for === undefined || isTexts(run.waits_for)) &&
    (reason === undefined || reason === null || typeof reason.code === "string");
  if (!isRun) throw new BadAnswer("the station answered what is no run");
  return run as Run;
}

function isTexts(found: unknown): found is ReadonlyArray<string> {
  return Array.isArray(found) && found.every((each) => typeof each === "string");
}

function inputs(on: On | undefined): ReadonlyArray<string> {
  if (on === undefined) return [];
  if (typeof on === "string") return [on];
  if (Array.isArray(on)) return on;
  return Object.entries(on).map(([input, dataset]) => `${input}=${dataset}`);
}

function pendingMessage(run: Run): string {
  const owners = (run.waits_for ?? []).map(harmless).join(" and ") || "its owners";
  return `${harmless(run.id)} waits for ${owners} (${harmless(String(run.request))}); once approved it starts by itself`;
}

function tellPending(run: Run): void {
  console.error(pendingMessage(run));
}

/** The last traceback on stderr, to its end. */
async function traceback(station: Station, run: Run): Promise<string | undefined> {
  let tail: string[] = [];
  let seen = 0;
  for (let more = true; more; ) {
    const path: string = `/v1/runs/${encodeURIComponent(run.id)}/log?limit=${LINES_OF_PAGE}&after=${seen}`;
    const page = (await send(station, "GET", path)) as { items?: unknown; next?: unknown } | null;
    const lines: unknown = page?.items;
    if (!Array.isArray(lines)) throw new BadAnswer("the station answered what is no log");
    const before = seen;
    for (const line of lines as ReadonlyArray<{ seq?: unknown; stream?: unknown; text?: unknown } | null>) {
      if (typeof line?.seq === "number") seen = Math.max(seen, line.seq);
      if (line?.stream === "stderr") tail.push(String(line.text));
    }
    tail = tail.slice(-TAIL_LINES_MAX);
    // A log that does not go on would be read for ever.
    more = typeof page?.next === "string" && before < seen;
  }
  const start = tail.map((text) => text.endsWith("Traceback (most recent call last):")).lastIndexOf(true);
  return start < 0 ? undefined : tail.slice(start).join("\n").trimEnd();
}

/** One call, which may be repeated without harm. The token goes to this station only. */
async function send(
  station: Station,
  method: string,
  path: string,
  body?: unknown,
  headers: { readonly [name: string]: string } = {},
): Promise<unknown> {
  for (let attempt = 1; ; attempt += 1) {
    let answer: Response;
    let text: string;
    try {
      answer = await fetch(station.url.replace(/\/+$/, "") + path, {
        method,
        redirect: "error",
        signal: AbortSignal.timeout(SILENCE_MS_MAX),
        headers: {
          ...headers,
          ...(body === undefined ? {} : { "Content-Type": "application/json" }),
          Authorization: `Bearer ${station.token}`,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      text = await whole(answer, station);
    } catch (error) {
      if (error instanceof BadAnswer) throw error;
      const why = (error as { cause?: unknown } | null)?.cause ?? error;
      if (attempt === ATTEMPTS_MAX) throw new Unreachable(`could not reach ${station.url}: ${harmless(String(why))}`);
      await pause(attempt);
      continue;
    }
    if (answer.ok) return json(text, station);
    if ([429, 502, 503, 504].includes(answer.status) && attempt < ATTEMPTS_MAX) {
      await pause(attempt);
      continue;
    }
    const problem = json(text, station) as { code?: unknown; detail?: unknown } | null;
    if (typeof problem?.code !== "string") {
      throw new BadAnswer(`${station.url} answered ${answer.status}, which is not how a station answers`);
    }
    throw new Problem(answer.status, problem.code, String(problem.detail));
  }
}

/** The body as text, up to a bound that counts what was unpacked. */
async function whole(answer: Response, station: Station): Promise<string> {
  const reader = answer.body?.getReader();
  if (reader === undefined) return "";
  const decoder = new TextDecoder();
  let text = "";
  for (let size = 0; ; ) {
    const part = await reader.read();
    if (part.done) return text + decoder.decode();
    size += part.value.length;
    if (ANSWER_BYTES_MAX < size) {
      await reader.cancel();
      throw new BadAnswer(`${station.url} answered more than ${ANSWER_BYTES_MAX} bytes`);
    }
    text += decoder.decode(part.value, { stream: true });
  }
}

function json(text: string, station: Station): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new BadAnswer(`${station.url} answered what is no JSON`);
  }
}

function pause(attempt: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 200 * 2 ** (attempt - 1)));
}

function stationOfEnvironment(): Station {
  const environment = (globalThis as { process?: { env?: { [name: string]: string | undefined } } }).process?.env;
  const url = environment?.["STRONGROOM_URL"];
  const token = environment?.["STRONGROOM_TOKEN"];
  if (!url || !token) throw new StrongroomError("give a station, or set STRONGROOM_URL and STRONGROOM_TOKEN");
  return { url, token };
}

/** A stranger's text, with what could move a cursor or turn the direction of reading spelt out. */
function harmless(text: string): string {
  return text.replace(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, (c) =>
    "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"),
  );
}
