import com.google.gson.JsonElement;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.MethodDescriptor;
import io.grpc.ServiceDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.ClientResponseObserver;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import query.Query.QueryResult;
import query.Query.Row;

/** One call by a generated method: what came, and how it ended. */
final class Call implements ClientResponseObserver<Message, Message> {
    private static final int NULL = -1;

    private final Runner.Case one;
    private final List<JsonElement> responses = new ArrayList<>();
    private final List<List<String>> rows = new ArrayList<>();
    private final CompletableFuture<StatusRuntimeException> ended = new CompletableFuture<>();
    private ClientCallStreamObserver<Message> stream;
    private boolean hungUp;

    Call(Runner.Case one) {
        this.one = one;
    }

    /** Makes the call; what came of it can be read afterwards. */
    StatusRuntimeException run(Channel channel)
            throws ReflectiveOperationException, InvalidProtocolBufferException {
        MethodDescriptor<Message, Message> method = method(one.method());
        Message.Builder request = prototype(method).newBuilderForType();
        JsonFormat.parser().merge(one.request().toString(), request);
        CallOptions options = CallOptions.DEFAULT.withDeadlineAfter(one.timeoutMs(), TimeUnit.MILLISECONDS);
        ClientCall<Message, Message> call = channel.newCall(method, options);
        if (one.cancelAfterMs() != null) {
            CompletableFuture.delayedExecutor(one.cancelAfterMs(), TimeUnit.MILLISECONDS)
                    .execute(() -> call.cancel("as the plan says", null));
        }
        if (method.getType() == MethodDescriptor.MethodType.SERVER_STREAMING) {
            ClientCalls.asyncServerStreamingCall(call, request.build(), this);
        } else {
            ClientCalls.asyncUnaryCall(call, request.build(), this);
        }
        return ended.join();
    }

    List<JsonElement> responses() {
        return responses;
    }

    List<List<String>> rows() {
        return rows;
    }

    @Override
    public void beforeStart(ClientCallStreamObserver<Message> requestStream) {
        stream = requestStream;
    }

    @Override
    public void onNext(Message message) {
        if (hungUp) {
            return; // It was on its way when the call was cancelled.
        }
        responses.add(Runner.json(message));
        FieldDescriptor result = message.getDescriptorForType().findFieldByName("result");
        if (result != null && message.getField(result) instanceof QueryResult found) {
            found.getRowsList().forEach(row -> rows.add(cells(row)));
        }
        if (one.until() != null && one.until().isReached(responses)) {
            hungUp = true;
            stream.cancel("as the plan says", null);
        }
    }

    @Override
    public void onError(Throwable error) {
        ended.complete(
                error instanceof StatusRuntimeException known
                        ? known
                        : Status.fromThrowable(error).asRuntimeException());
    }

    @Override
    public void onCompleted() {
        ended.complete(Status.OK.asRuntimeException());
    }

    private static List<String> cells(Row row) {
        List<String> cells = new ArrayList<>();
        byte[] values = row.getValues().toByteArray();
        int begin = 0;
        for (long length : row.getLengthsList()) {
            if (length == NULL) {
                cells.add(null);
                continue;
            }
            int end = begin + Math.toIntExact(length);
            cells.add(Base64.getEncoder().encodeToString(Arrays.copyOfRange(values, begin, end)));
            begin = end;
        }
        return cells;
    }

    /** Finds `package.Service/Method` in the generated class `package.ServiceGrpc`. */
    @SuppressWarnings("unchecked")
    private static MethodDescriptor<Message, Message> method(String name) throws ReflectiveOperationException {
        String service = name.substring(0, name.indexOf('/'));
        ServiceDescriptor generated =
                (ServiceDescriptor) Class.forName(service + "Grpc").getMethod("getServiceDescriptor").invoke(null);
        for (MethodDescriptor<?, ?> method : generated.getMethods()) {
            if (method.getFullMethodName().equals(name)) {
                return (MethodDescriptor<Message, Message>) method;
            }
        }
        throw new NoSuchMethodException(name);
    }

    private static Message prototype(MethodDescriptor<Message, Message> method) {
        var marshaller = (MethodDescriptor.PrototypeMarshaller<Message>) method.getRequestMarshaller();
        return marshaller.getMessagePrototype();
    }
}
