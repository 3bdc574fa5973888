module golden

go 1.25.1

// This release does not compile with Go 1.26.
toolchain go1.25.3

require (
	google.golang.org/protobuf v1.36.9
	vitess.io/vitess v0.23.0
)

require (
	github.com/planetscale/vtprotobuf v0.6.1-0.20250313105119-ba97887b0a25 // indirect
	golang.org/x/net v0.44.0 // indirect
	golang.org/x/sys v0.36.0 // indirect
	golang.org/x/text v0.29.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20250929231259-57b25ae835d4 // indirect
	google.golang.org/grpc v1.75.1 // indirect
)
