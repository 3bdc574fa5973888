// Command runner makes the calls of a plan with stubs that protoc-gen-go and protoc-gen-go-grpc made, and
// prints what came of each; see ../README.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"example/query"
)

type plan struct {
	Doors map[string]door
	Cases []testCase
}

type testCase struct {
	Case          string
	Door          string
	Method        string
	Request       json.RawMessage
	Until         *until
	TimeoutMs     int64 `json:"timeout_ms"`
	CancelAfterMs int64 `json:"cancel_after_ms"`
}

// until says after which message of a stream the call is cancelled.
type until struct {
	Count int
	Field string
	In    []string
}

type outcome struct {
	Case      string            `json:"case"`
	Code      string            `json:"code"`
	Message   string            `json:"message"`
	Reason    string            `json:"reason"`
	Domain    string            `json:"domain"`
	Facts     map[string]string `json:"facts"`
	Responses []json.RawMessage `json:"responses"`
	Rows      [][][]byte        `json:"rows"`
}

// take notes a message down; true when it was the last one that is wanted.
func (o *outcome) take(message proto.Message, until *until) (bool, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(message)
	if err != nil {
		return false, err
	}
	o.Responses = append(o.Responses, text)
	if answer, ok := message.(interface{ GetResult() *query.QueryResult }); ok {
		for _, row := range answer.GetResult().GetRows() {
			o.Rows = append(o.Rows, cells(row))
		}
	}
	if until == nil {
		return false, nil
	}
	if until.Field == "" {
		return len(o.Responses) >= until.Count, nil
	}
	return slices.Contains(until.In, at(text, until.Field)), nil
}

// cells cuts the values of a row out of it; nil is NULL.
func cells(row *query.Row) [][]byte {
	values := row.GetValues()
	cut := make([][]byte, len(row.GetLengths()))
	for i, length := range row.GetLengths() {
		if length >= 0 {
			cut[i], values = values[:length:length], values[length:]
		}
	}
	return cut
}

// at returns the text of a field of a message, by its path; empty where there is none.
func at(message json.RawMessage, path string) string {
	var found any
	if json.Unmarshal(message, &found) != nil {
		return ""
	}
	for name := range strings.SplitSeq(path, ".") {
		fields, _ := found.(map[string]any)
		found = fields[name]
	}
	text, _ := found.(string)
	return text
}

// end notes down how the call ended.
func (o *outcome) end(err error) {
	if errors.Is(err, io.EOF) {
		err = nil
	}
	ended := status.Convert(err)
	o.Code = code.Code(ended.Code()).String()
	o.Message = ended.Message()
	for _, detail := range ended.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			o.Reason, o.Domain = info.GetReason(), info.GetDomain()
			o.Facts = info.GetMetadata()
			break
		}
	}
	if o.Facts == nil {
		o.Facts = map[string]string{}
	}
}

func run(one testCase, door door, connection *grpc.ClientConn) (*outcome, error) {
	method, known := stubs(connection)[one.Method]
	if !known {
		return nil, fmt.Errorf("%s: no stub for %s", one.Case, one.Method)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(one.TimeoutMs)*time.Millisecond)
	defer cancel()
	if one.CancelAfterMs > 0 {
		defer time.AfterFunc(time.Duration(one.CancelAfterMs)*time.Millisecond, cancel).Stop()
	}
	if door.Username != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "username", door.Username, "password", door.Password)
	}
	result := &outcome{Case: one.Case, Responses: []json.RawMessage{}, Rows: [][][]byte{}}
	var broken error
	isOver := false
	result.end(method(ctx, one.Request, func(message proto.Message) {
		if isOver {
			return // was under way when the call was cancelled
		}
		isOver, broken = result.take(message, one.Until)
		if isOver || broken != nil {
			cancel()
		}
	}))
	return result, broken
}

func main() {
	log.SetFlags(0)
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	var plan plan
	if err := json.Unmarshal(text, &plan); err != nil {
		log.Fatal(err)
	}
	connections := map[string]*grpc.ClientConn{}
	for _, one := range plan.Cases {
		door := plan.Doors[one.Door]
		if connections[one.Door] == nil {
			if connections[one.Door], err = door.dial(); err != nil {
				log.Fatal(err)
			}
		}
		result, err := run(one, door, connections[one.Door])
		if err != nil {
			log.Fatal(err)
		}
		if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
			log.Fatal(err)
		}
	}
}
