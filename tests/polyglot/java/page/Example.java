import com.google.rpc.ErrorInfo;
import io.grpc.Grpc;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.protobuf.StatusProto;
import java.io.File;
import tabletd.v1.MigrationsGrpc;
import tabletd.v1.MigrationsOuterClass.WatchRequest;
import vtctldata.Vtctldata.ApplySchemaRequest;
import vtctlservice.VtctldGrpc;

class Example {
    public static void main(String[] arguments) throws Exception {
        var tls = TlsChannelCredentials.newBuilder()
                .trustManager(new File("ca.pem"))
                .keyManager(new File("client.pem"), new File("client-key.pem"));
        var channel = Grpc.newChannelBuilder(System.getenv("TABLET"), tls.build()).build();
        try {
            var change = ApplySchemaRequest.newBuilder().setKeyspace("commerce").setDdlStrategy("mysql")
                    .addSql("ALTER TABLE orders ADD COLUMN from_java INT");
            var submission = VtctldGrpc.newBlockingStub(channel).applySchema(change.build());
            var request = WatchRequest.newBuilder().addAllUuids(submission.getUuidListList());
            var news = MigrationsGrpc.newBlockingStub(channel).watch(request.build());
            for (var hasEnded = false; !hasEnded; ) {
                var response = news.next();
                if (response.hasMigration()) {
                    var migration = response.getMigration();
                    System.out.println(migration.getShard() + " " + migration.getStatus());
                    hasEnded = migration.hasCompletedAt();
                }
            }
        } catch (StatusRuntimeException error) {
            for (var detail : StatusProto.fromThrowable(error).getDetailsList()) {
                System.err.print(detail.unpack(ErrorInfo.class).getReason() + ": ");
            }
            System.err.println(error.getStatus().getDescription());
            System.exit(1);
        }
        channel.shutdownNow();
    }
}
