module golden

go 1.23.2

require (
	google.golang.org/protobuf v1.34.2
	vitess.io/vitess v0.9.0
)

require github.com/golang/protobuf v1.5.0 // indirect
