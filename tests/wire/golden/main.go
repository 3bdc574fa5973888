// Command golden writes protobuf messages as Vitess's own published code encodes them.
//
// It is compiled with one release of Vitess at a time (-modfile chooses it) and prints, one
// to a line, messages of that release: their type, bytes in hexadecimal, and fields as JSON. Which
// messages, and which of their fields, it reads from ../pinned. run.sh runs it.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/runtime/protoimpl"

	_ "vitess.io/vitess/go/vt/proto/logutil"
	querypb "vitess.io/vitess/go/vt/proto/query"
	_ "vitess.io/vitess/go/vt/proto/replicationdata"
	_ "vitess.io/vitess/go/vt/proto/tabletmanagerdata"
	_ "vitess.io/vitess/go/vt/proto/topodata"
	_ "vitess.io/vitess/go/vt/proto/vtctldata"
	_ "vitess.io/vitess/go/vt/proto/vtrpc"
	_ "vitess.io/vitess/go/vt/proto/vttime"
)

type line struct {
	Case   string          `json:"case"`
	Type   string          `json:"type"`
	Hex    string          `json:"hex"`
	Fields json.RawMessage `json:"fields"`
}

// pinnedNumbers maps each pinned message to the numbers of its fields.
type pinnedNumbers map[protoreflect.FullName]map[protoreflect.FieldNumber]bool

var (
	entry  = regexp.MustCompile(`(?m)^"([a-z]+\.[\w.]+)" = "(?:"")?([^"]*)"`)
	number = regexp.MustCompile(`(?:^|,)\s*(\d+) `)
)

func readPinned(folder string) (pinnedNumbers, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.toml"))
	if err != nil {
		return nil, err
	}
	pinned := pinnedNumbers{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		for _, found := range entry.FindAllStringSubmatch(string(text), -1) {
			numbers := map[protoreflect.FieldNumber]bool{}
			for _, match := range number.FindAllStringSubmatch(found[2], -1) {
				n, err := strconv.Atoi(match[1])
				if err != nil {
					return nil, err
				}
				numbers[protoreflect.FieldNumber(n)] = true
			}
			pinned[protoreflect.FullName(found[1])] = numbers
		}
	}
	return pinned, nil
}

// scalar returns a value for a field that differs from the values of the message's other fields.
func scalar(field protoreflect.FieldDescriptor, salt int) protoreflect.Value {
	n := int64(field.Number())*10 + int64(salt)
	switch field.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(fmt.Sprintf("%s %d é", field.Name(), salt))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte{0, 0xff, byte(n), '\''})
	case protoreflect.EnumKind:
		values := field.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(values.Len() - 1).Number())
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(-n))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind:
		return protoreflect.ValueOfInt64(math.MinInt64 + n)
	case protoreflect.Uint32Kind:
		// SourceShard.uid was unsigned in v0.9.0 and is signed now: a number that is the same in both.
		return protoreflect.ValueOfUint32(uint32(math.MaxInt32 - n))
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(math.MaxUint64 - uint64(n))
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(n) + 0.5)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(n) + 0.1)
	}
	panic(fmt.Sprintf("no value for %s of kind %s", field.FullName(), field.Kind()))
}

// fill sets every pinned field of a message, lists and maps with two entries each.
func (pinned pinnedNumbers) fill(message protoreflect.Message, salt int) {
	value := func(field protoreflect.FieldDescriptor, fresh protoreflect.Value, salt int) protoreflect.Value {
		if field.Message() == nil {
			return scalar(field, salt)
		}
		pinned.fill(fresh.Message(), salt)
		return fresh
	}
	fields := message.Descriptor().Fields()
	for i := 0; i < fields.Len(); i++ {
		field := fields.Get(i)
		if !pinned[message.Descriptor().FullName()][field.Number()] {
			continue
		}
		switch {
		case field.IsMap():
			entries := message.Mutable(field).Map()
			for salt := 1; salt <= 2; salt++ {
				key := protoreflect.ValueOfString(fmt.Sprintf("key %d", salt)).MapKey()
				entries.Set(key, value(field.MapValue(), entries.NewValue(), salt))
			}
		case field.IsList():
			list := message.Mutable(field).List()
			for salt := 1; salt <= 2; salt++ {
				fresh := protoreflect.Value{}
				if field.Message() != nil {
					fresh = list.NewElement()
				}
				list.Append(value(field, fresh, salt))
			}
		case field.Message() != nil:
			pinned.fill(message.Mutable(field).Message(), salt)
		default:
			message.Set(field, scalar(field, salt))
		}
	}
}

// samples holds a cell of each type as the text protocol writes it; other types get their own name.
var samples = map[string]string{
	"INT8": "-128", "UINT8": "255", "INT64": "-9223372036854775808", "UINT64": "18446744073709551615",
	"FLOAT32": "1.5e-7", "FLOAT64": "-1.7976931348623157e308", "DECIMAL": "-0.10",
	"DATE": "0000-00-00", "TIME": "-838:59:59.000000", "DATETIME": "0000-00-00 00:00:00",
	"TIMESTAMP": "2026-11-23 07:30:00.123456", "YEAR": "0000",
	"BIT": "\x00\x01", "BLOB": "\x00\xff'\"\\\n", "GEOMETRY": "\x00\x00\x00\x00\x01\x01\x00\x00\x00",
	"VARCHAR": "snow ☃ and 🐬", "JSON": `{"a": null}`, "SET": "a,b",
}

// everyType is a result with a column of each type: a row of samples, one of NULL, one of empty cells.
func everyType() *querypb.QueryResult {
	numbers := []int{}
	for n := range querypb.Type_name {
		numbers = append(numbers, int(n))
	}
	sort.Ints(numbers)
	result := &querypb.QueryResult{RowsAffected: math.MaxUint64, InsertId: 1 << 63}
	full, null, empty := &querypb.Row{}, &querypb.Row{}, &querypb.Row{}
	for i, n := range numbers {
		name := querypb.Type_name[int32(n)]
		cell, known := samples[name]
		if !known {
			cell = strings.ToLower(name)
		}
		result.Fields = append(result.Fields, &querypb.Field{
			Name: "c_" + strings.ToLower(name), Type: querypb.Type(n), Charset: 63, ColumnLength: uint32(i),
			Flags: uint32(querypb.MySqlFlag_NOT_NULL_FLAG | querypb.MySqlFlag_NUM_FLAG),
		})
		full.Lengths = append(full.Lengths, int64(len(cell)))
		full.Values = append(full.Values, cell...)
		null.Lengths = append(null.Lengths, -1)
		empty.Lengths = append(empty.Lengths, 0)
	}
	result.Rows = []*querypb.Row{full, null, empty}
	return result
}

// fromFile reads the cases of cases.json that are meant for this release.
func fromFile(path, release string) (map[string]proto.Message, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var cases []struct {
		Case     string
		Type     protoreflect.FullName
		Releases []string
		Fields   json.RawMessage
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		return nil, err
	}
	found := map[string]proto.Message{}
	for _, c := range cases {
		if !strings.Contains(" "+strings.Join(c.Releases, " ")+" ", " "+release+" ") {
			continue
		}
		kind, err := protoregistry.GlobalTypes.FindMessageByName(c.Type)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Case, err)
		}
		message := kind.New().Interface()
		if err := protojson.Unmarshal(c.Fields, message); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Case, err)
		}
		found[c.Case] = message
	}
	return found, nil
}

func run(release, pinnedFolder, casesPath string) error {
	pinned, err := readPinned(pinnedFolder)
	if err != nil {
		return err
	}
	cases, err := fromFile(casesPath, release)
	if err != nil {
		return err
	}
	// Before v0.10.0 the messages are those of an older protobuf package: this wraps them where needed.
	cases["a result with a column of every type"] = protoimpl.X.ProtoMessageV2Of(everyType())
	for name := range pinned {
		kind, err := protoregistry.GlobalTypes.FindMessageByName(name)
		if err != nil {
			continue // an enum, or a message that this release does not have
		}
		message := kind.New()
		pinned.fill(message, 0)
		cases["every field of "+string(name)] = message.Interface()
	}

	names := []string{}
	for name := range cases {
		names = append(names, name)
	}
	sort.Strings(names)
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for _, name := range names {
		wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(cases[name])
		if err != nil {
			return err
		}
		fields, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(cases[name])
		if err != nil {
			return err
		}
		kind := string(cases[name].ProtoReflect().Descriptor().FullName())
		if err := encoder.Encode(line{name, kind, hex.EncodeToString(wire), fields}); err != nil {
			return err
		}
	}
	return out.Flush()
}

func main() {
	release := flag.String("release", "", "release of Vitess that this is compiled with, as in cases.json")
	pinned := flag.String("pinned", "../pinned", "folder of the pinned messages")
	cases := flag.String("cases", "cases.json", "file of further cases")
	flag.Parse()
	if err := run(*release, *pinned, *cases); err != nil {
		log.Fatal(err)
	}
}
