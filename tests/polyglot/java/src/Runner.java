import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.annotations.SerializedName;
import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.util.JsonFormat;
import com.google.rpc.ErrorInfo;
import io.grpc.Channel;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Runs the calls of a plan one after the other and prints what came of each: ../../README.md. */
final class Runner {
    private static final Gson GSON = new GsonBuilder().serializeNulls().disableHtmlEscaping().create();
    private static final JsonFormat.Printer PRINTER = JsonFormat.printer().preservingProtoFieldNames();

    /** One call to make. */
    record Case(
            @SerializedName("case") String name,
            String door,
            String method,
            JsonObject request,
            @SerializedName("timeout_ms") long timeoutMs,
            Until until,
            @SerializedName("cancel_after_ms") Long cancelAfterMs) {}

    /** The last message that is wanted of a stream: the one of this number, or the first with such a field. */
    record Until(Integer count, String field, List<JsonElement> in) {
        boolean isReached(List<JsonElement> responses) {
            if (count != null) {
                return responses.size() >= count;
            }
            JsonElement found = responses.get(responses.size() - 1);
            for (String name : field.split("\\.")) {
                found = found instanceof JsonObject object ? object.get(name) : null;
            }
            return in.contains(found);
        }
    }

    private record Plan(Map<String, Door> doors, List<Case> cases) {}

    private record Line(
            @SerializedName("case") String name,
            String code,
            String message,
            String reason,
            String domain,
            Map<String, String> facts,
            List<JsonElement> responses,
            List<List<String>> rows) {}

    private Runner() {}

    static JsonElement json(Message message) {
        try {
            return JsonParser.parseString(PRINTER.print(message));
        } catch (InvalidProtocolBufferException error) {
            throw new IllegalArgumentException(error);
        }
    }

    private static ErrorInfo errorInfo(StatusRuntimeException error) throws InvalidProtocolBufferException {
        com.google.rpc.Status status = StatusProto.fromThrowable(error);
        if (status != null) {
            for (Any detail : status.getDetailsList()) {
                if (detail.is(ErrorInfo.class)) {
                    return detail.unpack(ErrorInfo.class);
                }
            }
        }
        return ErrorInfo.getDefaultInstance();
    }

    private static Line run(Case one, Channel channel) throws Exception {
        Call call = new Call(one);
        StatusRuntimeException ended = call.run(channel);
        Status status = ended.getStatus();
        ErrorInfo info = errorInfo(ended);
        return new Line(
                one.name(),
                status.getCode().name(),
                status.getDescription() == null ? "" : status.getDescription(),
                info.getReason(),
                info.getDomain(),
                info.getMetadataMap(),
                call.responses(),
                call.rows());
    }

    public static void main(String[] arguments) throws Exception {
        Plan plan = GSON.fromJson(Files.readString(Path.of(arguments[0])), Plan.class);
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
        Map<String, ManagedChannel> channels = new HashMap<>();
        for (Case one : plan.cases()) {
            ManagedChannel channel = channels.get(one.door());
            if (channel == null) {
                channel = plan.doors().get(one.door()).connect();
                channels.put(one.door(), channel);
            }
            out.println(GSON.toJson(run(one, channel)));
        }
        channels.values().forEach(ManagedChannel::shutdownNow);
    }
}
