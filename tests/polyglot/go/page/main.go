package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"os"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"example/tabletdv1"
	"example/vtctldata"
	"example/vtctlservice"
)

func main() {
	pair, err := tls.LoadX509KeyPair("client.pem", "client-key.pem")
	check(err)
	ca, err := os.ReadFile("ca.pem")
	check(err)
	config := &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(ca)
	channel, err := grpc.NewClient(os.Getenv("TABLET"), grpc.WithTransportCredentials(credentials.NewTLS(config)))
	check(err)

	ctx := context.Background()
	change := &vtctldata.ApplySchemaRequest{
		Keyspace: "commerce", DdlStrategy: "mysql", Sql: []string{"ALTER TABLE orders ADD COLUMN from_go INT"}}
	submission, err := vtctlservice.NewVtctldClient(channel).ApplySchema(ctx, change)
	check(err)
	watch, err := tabletdv1.NewMigrationsClient(channel).Watch(ctx, &tabletdv1.WatchRequest{Uuids: submission.UuidList})
	check(err)
	for ended := false; !ended; {
		news, err := watch.Recv()
		check(err)
		if migration := news.GetMigration(); migration != nil {
			fmt.Println(migration.Shard, migration.Status)
			ended = migration.CompletedAt != nil
		}
	}
}

func check(err error) {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			log.Fatalf("%s: %s", info.Reason, status.Convert(err).Message())
		}
	}
	if err != nil {
		log.Fatal(err)
	}
}
