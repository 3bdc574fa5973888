import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.io.IOException;

/** How a daemon is reached, and as whom; texts are empty where there is nothing. */
record Door(String address, String ca, String certificate, String key, String username, String password) {
    ManagedChannel connect() throws IOException {
        Metadata headers = new Metadata();
        if (!username.isEmpty()) {
            headers.put(Metadata.Key.of("username", Metadata.ASCII_STRING_MARSHALLER), username);
            headers.put(Metadata.Key.of("password", Metadata.ASCII_STRING_MARSHALLER), password);
        }
        return Grpc.newChannelBuilder(address, credentials())
                .intercept(MetadataUtils.newAttachHeadersInterceptor(headers))
                .build();
    }

    private ChannelCredentials credentials() throws IOException {
        if (ca.isEmpty()) {
            return InsecureChannelCredentials.create();
        }
        TlsChannelCredentials.Builder tls = TlsChannelCredentials.newBuilder().trustManager(new File(ca));
        if (!certificate.isEmpty()) {
            tls.keyManager(new File(certificate), new File(key));
        }
        return tls.build();
    }
}
