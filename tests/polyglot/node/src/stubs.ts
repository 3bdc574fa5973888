// The stubs, made from the .proto files by @grpc/proto-loader; their types by its generator, in generated/.

import * as path from 'node:path';

import * as grpc from '@grpc/grpc-js';
import * as loader from '@grpc/proto-loader';

import type { ErrorInfo__Output } from './generated/tabletd/v1/ErrorInfo';
import type { ErrorStatus__Output } from './generated/tabletd/v1/ErrorStatus';

const definition = loader.loadSync(
  ['errors', 'migrations', 'queryservice', 'tabletmanagerservice', 'vtctlservice'].map(
    (name) => `tabletd_pb/${name}.proto`,
  ),
  {
    includeDirs: [path.join(__dirname, '..', 'protos')],
    keepCase: true,
    longs: String,
    enums: String,
    bytes: String,
  },
);

/** Returns how a method is called, by `package.Service/Method`. */
export function method(name: string): grpc.MethodDefinition<object, object> {
  const [service, short] = name.split('/');
  return (definition[service] as grpc.ServiceDefinition)[short];
}

function decode<Message>(type: string, bytes: Buffer): Message {
  const { deserialize } = definition[type] as loader.MessageTypeDefinition<object, object>;
  return deserialize(bytes) as Message;
}

/** Returns the first ErrorInfo in the trailers of a call that failed, if there is one. */
export function errorInfo(trailers: grpc.Metadata): ErrorInfo__Output | undefined {
  const [bytes] = trailers.get('grpc-status-details-bin');
  if (!Buffer.isBuffer(bytes)) {
    return undefined;
  }
  const status = decode<ErrorStatus__Output>('tabletd.v1.ErrorStatus', bytes);
  const found = status.details?.find(({ type_url }) => type_url?.endsWith('/google.rpc.ErrorInfo'));
  return found && decode('tabletd.v1.ErrorInfo', Buffer.from(found.value ?? '', 'base64'));
}
