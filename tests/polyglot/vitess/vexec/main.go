// Command vexec sends statements to a tablet by VExec with the tablet manager client of Vitess 9, and
// prints each result, read by Vitess's own code, as a line of JSON.
//
//	vexec [FLAGS OF VITESS] HOST PORT QUERY...
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc/status"

	"vitess.io/vitess/go/sqltypes"
	topodatapb "vitess.io/vitess/go/vt/proto/topodata"
	"vitess.io/vitess/go/vt/servenv"
	_ "vitess.io/vitess/go/vt/vttablet/grpctmclient"
	"vitess.io/vitess/go/vt/vttablet/tmclient"
)

const patience = 2 * time.Minute

type answer struct {
	Code         string     `json:"code"`
	Message      string     `json:"message"`
	Types        []string   `json:"types"`
	Rows         [][][]byte `json:"rows"`
	RowsAffected uint64     `json:"rows_affected"`
}

func (a *answer) read(result *sqltypes.Result) {
	a.RowsAffected = result.RowsAffected
	for _, field := range result.Fields {
		a.Types = append(a.Types, field.Type.String())
	}
	for _, row := range result.Rows {
		cells := make([][]byte, len(row))
		for i, value := range row {
			if !value.IsNull() {
				cells[i] = append([]byte{}, value.Raw()...)
			}
		}
		a.Rows = append(a.Rows, cells)
	}
}

func main() {
	// The flags of the client are those of a vtctld.
	arguments := servenv.ParseFlagsWithArgs("vtctld")
	port, err := strconv.ParseInt(arguments[1], 10, 32)
	if err != nil {
		log.Fatal(err)
	}
	tablet := &topodatapb.Tablet{
		Hostname: arguments[0],
		PortMap:  map[string]int32{"grpc": int32(port)},
		Alias:    &topodatapb.TabletAlias{Cell: "zone1", Uid: 100},
	}
	client := tmclient.NewTabletManagerClient()
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := client.Ping(ctx, tablet); err != nil {
		log.Fatal(err)
	}
	for _, query := range arguments[2:] {
		result, err := client.VExec(ctx, tablet, query, "schema-migration", "")
		ended := status.Convert(err)
		line := answer{Code: ended.Code().String(), Message: ended.Message(), Types: []string{}, Rows: [][][]byte{}}
		if err == nil {
			line.read(sqltypes.Proto3ToResult(result))
		}
		if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
			log.Fatal(err)
		}
	}
}
