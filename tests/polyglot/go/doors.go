package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// door is a way into a daemon; empty texts are left out.
type door struct {
	Address     string
	CA          string
	Certificate string
	Key         string
	Username    string
	Password    string
}

// dial returns a channel, which connects with its first call.
func (d door) dial() (*grpc.ClientConn, error) {
	transport := insecure.NewCredentials()
	if d.CA != "" {
		config, err := d.tls()
		if err != nil {
			return nil, err
		}
		transport = credentials.NewTLS(config)
	}
	return grpc.NewClient(d.Address, grpc.WithTransportCredentials(transport))
}

func (d door) tls() (*tls.Config, error) {
	ca, err := os.ReadFile(d.CA)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !config.RootCAs.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s: no certificate is in it", d.CA)
	}
	if d.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(d.Certificate, d.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
