package main

import (
	"context"
	"encoding/json"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"example/queryservice"
	"example/tabletdv1"
	"example/tabletmanagerservice"
	"example/vtctlservice"
)

// caller sends a request, hands on what is answered, and returns how the call ended.
type caller func(ctx context.Context, request json.RawMessage, take func(proto.Message)) error

// message is a pointer to a generated struct.
type message[T any] interface {
	*T
	proto.Message
}

func unary[T any, Q message[T], R proto.Message](
	method func(context.Context, Q, ...grpc.CallOption) (R, error),
) caller {
	return func(ctx context.Context, text json.RawMessage, take func(proto.Message)) error {
		request := Q(new(T))
		if err := protojson.Unmarshal(text, request); err != nil {
			return err
		}
		answer, err := method(ctx, request)
		if err == nil {
			take(answer)
		}
		return err
	}
}

func stream[T, U any, Q message[T], R message[U]](
	method func(context.Context, Q, ...grpc.CallOption) (grpc.ServerStreamingClient[U], error),
) caller {
	return func(ctx context.Context, text json.RawMessage, take func(proto.Message)) error {
		request := Q(new(T))
		if err := protojson.Unmarshal(text, request); err != nil {
			return err
		}
		answers, err := method(ctx, request)
		for err == nil {
			var answer *U
			if answer, err = answers.Recv(); err == nil {
				take(R(answer))
			}
		}
		return err
	}
}

func stubs(connection grpc.ClientConnInterface) map[string]caller {
	manager := tabletmanagerservice.NewTabletManagerClient(connection)
	queries := queryservice.NewQueryClient(connection)
	migrations := tabletdv1.NewMigrationsClient(connection)
	vtctld := vtctlservice.NewVtctldClient(connection)
	return map[string]caller{
		"tabletmanagerservice.TabletManager/Ping":   unary(manager.Ping),
		"tabletmanagerservice.TabletManager/Sleep":  unary(manager.Sleep),
		"tabletmanagerservice.TabletManager/VExec":  unary(manager.VExec),
		"queryservice.Query/Execute":                unary(queries.Execute),
		"queryservice.Query/StreamHealth":           stream(queries.StreamHealth),
		"tabletd.v1.Migrations/Watch":               stream(migrations.Watch),
		"vtctlservice.Vtctld/ApplySchema":           unary(vtctld.ApplySchema),
		"vtctlservice.Vtctld/CancelSchemaMigration": unary(vtctld.CancelSchemaMigration),
		"vtctlservice.Vtctld/GetKeyspace":           unary(vtctld.GetKeyspace),
		"vtctlservice.Vtctld/LaunchSchemaMigration": unary(vtctld.LaunchSchemaMigration),
		"vtctlservice.Vtctld/RetrySchemaMigration":  unary(vtctld.RetrySchemaMigration),
	}
}
