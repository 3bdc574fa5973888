import { readFileSync } from 'node:fs';

import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';

const files = ['errors', 'migrations', 'vtctlservice'].map((name) => `tabletd_pb/${name}.proto`);
const stubs = loader.loadSync(files, { includeDirs: ['protos'], keepCase: true, enums: String });
const { tabletd, vtctlservice } = grpc.loadPackageDefinition(stubs);
const [ca, key, certificate] = ['ca', 'client-key', 'client'].map((name) => readFileSync(`${name}.pem`));
const door = [process.env.TABLET, grpc.credentials.createSsl(ca, key, certificate)];

const statement = 'ALTER TABLE orders ADD COLUMN from_node INT';
const request = { keyspace: 'commerce', ddl_strategy: 'mysql', sql: [statement] };
new vtctlservice.Vtctld(...door).ApplySchema(request, (error, submission) => {
  if (error) fail(error);
  const news = new tabletd.v1.Migrations(...door).Watch({ uuids: submission.uuid_list });
  news.on('error', fail);
  news.on('data', ({ migration }) => {
    if (!migration) return;
    console.log(migration.shard, migration.status);
    if (migration.completed_at) process.exit();
  });
});

function fail(error) {
  const statuses = error.metadata.get('grpc-status-details-bin');
  const details = statuses.flatMap((status) => stubs['tabletd.v1.ErrorStatus'].deserialize(status).details);
  const reasons = details.map(({ value }) => stubs['tabletd.v1.ErrorInfo'].deserialize(value).reason);
  console.error([...reasons, error.details].join(': '));
  process.exit(1);
}
