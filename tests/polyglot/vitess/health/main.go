// Command health watches the health of a tablet with the query service client of Vitess 21, as a vtgate does,
// and may run a query there; it prints the first news and the result, each as a line of JSON.
//
//	health [FLAGS OF VITESS] HOST PORT [KEYSPACE QUERY]
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"vitess.io/vitess/go/sqltypes"
	"vitess.io/vitess/go/vt/grpcclient"
	querypb "vitess.io/vitess/go/vt/proto/query"
	topodatapb "vitess.io/vitess/go/vt/proto/topodata"
	"vitess.io/vitess/go/vt/servenv"
	_ "vitess.io/vitess/go/vt/vttablet/grpctabletconn"
	"vitess.io/vitess/go/vt/vttablet/tabletconn"
)

const patience = 2 * time.Minute

type answer struct {
	Types []string   `json:"types"`
	Rows  [][][]byte `json:"rows"`
}

func read(result *sqltypes.Result) answer {
	read := answer{Types: []string{}, Rows: [][][]byte{}}
	for _, field := range result.Fields {
		read.Types = append(read.Types, field.Type.String())
	}
	for _, row := range result.Rows {
		cells := make([][]byte, len(row))
		for i, value := range row {
			if !value.IsNull() {
				cells[i] = append([]byte{}, value.Raw()...)
			}
		}
		read.Rows = append(read.Rows, cells)
	}
	return read
}

func run(host string, port int64, question []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tablet := &topodatapb.Tablet{Hostname: host, PortMap: map[string]int32{"grpc": int32(port)}}
	service, err := tabletconn.GetDialer()(ctx, tablet, grpcclient.FailFast(true))
	if err != nil {
		return err
	}
	defer service.Close(ctx)
	err = service.StreamHealth(ctx, func(health *querypb.StreamHealthResponse) error {
		text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(health)
		if err != nil {
			return err
		}
		fmt.Println(string(text))
		return io.EOF
	})
	if err != nil || len(question) == 0 {
		return err
	}
	target := &querypb.Target{Keyspace: question[0], Shard: "0", TabletType: topodatapb.TabletType_PRIMARY}
	result, err := service.Execute(ctx, target, question[1], nil, 0, 0, nil)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(read(result))
}

func main() {
	// The flags of the client are those of a vtgate.
	arguments := servenv.ParseFlagsWithArgs("vtgate")
	port, err := strconv.ParseInt(arguments[1], 10, 32)
	if err != nil {
		log.Fatal(err)
	}
	if err := run(arguments[0], port, arguments[2:]); err != nil {
		log.Fatal(err)
	}
}
