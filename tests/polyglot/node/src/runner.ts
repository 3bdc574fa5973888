// Runs the calls of a plan one after the other and prints what came of each: ../../README.md.

import * as fs from 'node:fs';

import * as grpc from '@grpc/grpc-js';

import type { QueryResult } from './generated/query/QueryResult';
import { rows } from './rows';
import { errorInfo, method } from './stubs';

interface Door {
  address: string;
  ca: string;
  certificate: string;
  key: string;
  username: string;
  password: string;
}

interface Case {
  case: string;
  door: string;
  method: string;
  request: object;
  timeout_ms: number;
  until?: { count: number } | { field: string; in: unknown[] };
  cancel_after_ms?: number;
}

interface Plan {
  doors: Record<string, Door>;
  cases: Case[];
}

interface Ended {
  status: grpc.StatusObject;
  responses: object[];
}

const clients = new Map<Door, grpc.Client>();

function client(door: Door): grpc.Client {
  const there = clients.get(door);
  if (there) {
    return there;
  }
  const read = (file: string) => (file ? fs.readFileSync(file) : null);
  const credentials = door.ca
    ? grpc.credentials.createSsl(read(door.ca), read(door.key), read(door.certificate))
    : grpc.credentials.createInsecure();
  const made = new grpc.Client(door.address, credentials);
  clients.set(door, made);
  return made;
}

function metadata(door: Door): grpc.Metadata {
  const sent = new grpc.Metadata();
  if (door.username) {
    sent.set('username', door.username);
    sent.set('password', door.password);
  }
  return sent;
}

function isLast(until: Case['until'], responses: object[]): boolean {
  if (!until) {
    return false;
  }
  if ('count' in until) {
    return responses.length >= until.count;
  }
  const found = until.field
    .split('.')
    .reduce((value: unknown, name) => (value as Record<string, unknown> | undefined)?.[name], responses.at(-1));
  return until.in.includes(found);
}

/** Makes one call, and waits until it has ended. */
function run(one: Case, door: Door): Promise<Ended> {
  const { path, responseStream, requestSerialize, responseDeserialize } = method(one.method);
  const options = { deadline: Date.now() + one.timeout_ms };
  return new Promise((resolve) => {
    const responses: object[] = [];
    let call: grpc.ClientUnaryCall | grpc.ClientReadableStream<object>;
    if (responseStream) {
      const stream = client(door).makeServerStreamRequest(
        path, requestSerialize, responseDeserialize, one.request, metadata(door), options,
      );
      stream.on('data', (message: object) => {
        if (isLast(one.until, responses)) {
          return; // It was on its way when the call was cancelled.
        }
        responses.push(message);
        if (isLast(one.until, responses)) {
          stream.cancel();
        }
      });
      stream.on('error', () => undefined); // Its status says the same.
      call = stream;
    } else {
      call = client(door).makeUnaryRequest(
        path, requestSerialize, responseDeserialize, one.request, metadata(door), options,
        (_error, message) => {
          if (message) {
            responses.push(message);
          }
        },
      );
    }
    const timer = one.cancel_after_ms === undefined ? undefined : setTimeout(() => call.cancel(), one.cancel_after_ms);
    call.on('status', (status: grpc.StatusObject) => {
      clearTimeout(timer);
      // The answer is handed over after its status.
      setImmediate(() => resolve({ status, responses }));
    });
  });
}

async function main(file: string): Promise<void> {
  const plan = JSON.parse(fs.readFileSync(file, 'utf8')) as Plan;
  for (const one of plan.cases) {
    const { status, responses } = await run(one, plan.doors[one.door]);
    const info = errorInfo(status.metadata);
    const line = {
      case: one.case,
      code: grpc.status[status.code],
      message: status.details,
      reason: info?.reason ?? '',
      domain: info?.domain ?? '',
      facts: info?.metadata ?? {},
      responses,
      rows: responses.flatMap((response) => rows((response as { result?: QueryResult }).result)),
    };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  }
  for (const made of clients.values()) {
    made.close();
  }
}

void main(process.argv[2]);
